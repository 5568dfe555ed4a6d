import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../dev/jsonSchemas.ts';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

it.each(Object.entries(jsonSchemas))('%s matches the zod schema (npm run schema writes it)', (path, json) => {
  expect(read(path)).toBe(json);
});
