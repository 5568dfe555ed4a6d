/**
 * The configuration file's JSON Schema, generated from zod, for editors. `npm run schema` writes it to
 * config/rotation.schema.json; a test holds the two together.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { fileSchema } from './schema.ts';

export function configJsonSchema(): string {
  const schema = z.toJSONSchema(fileSchema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  const titled = { title: 'invite-rotator configuration', ...schema };
  return `${JSON.stringify(titled, null, 2)}\n`;
}

const committed = new URL('../../config/rotation.schema.json', import.meta.url);

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(committed, configJsonSchema());
