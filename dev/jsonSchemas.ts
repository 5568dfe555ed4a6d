/**
 * Generates the JSON Schemas that ship with the package: those of the configuration file and of the files that it
 * includes, for editors, and one for each
 * kind of message, for consumers and producers in other languages. `npm run schema` writes them. A test fails if the
 * committed files differ from the zod schemas.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { fileSchema, includedSchema } from '../src/config/schema.ts';
import { linkEvent } from '../src/contract/event.ts';
import { rotationRequest, rotationResult } from '../src/contract/request.ts';

/** JSON Schemas by their path in the package. Messages allow unknown keys because a later version may add some. */
export const jsonSchemas = {
  'config/rotation.schema.json': text('invite-rotator configuration', fileSchema),
  'config/groups.schema.json': text('invite-rotator groups: a file that the configuration includes', includedSchema),
  'schema/event.v1.json': text('Event on a results queue, version 1', linkEvent),
  'schema/request.v1.json': text('One-off: data of a job named "rotate" on rotations-<instance>', rotationRequest),
  'schema/result.v1.json': text('Return value of a one-off', rotationResult),
} as const;

function text(title: string, schema: z.ZodType): string {
  const json = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  return `${JSON.stringify({ title, ...json }, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, json] of Object.entries(jsonSchemas))
    writeFileSync(new URL(`../../${path}`, import.meta.url), json);
}
