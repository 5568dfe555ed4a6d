import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../dev/jsonSchemas.ts';
import { parseConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problems.ts';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

it.each(['rotation.example.yaml', 'demo.yaml'])('config/%s is valid', (name) => {
  const parsed = parseConfig(read(`config/${name}`), `/config/${name}`);
  expect(parsed.ok ? [] : parsed.problems.map(formatProblem)).toEqual([]);
});

it('the JSON Schema knows every key, and refuses unknown ones', () => {
  const schema = JSON.parse(jsonSchemas['config/rotation.schema.json']);
  expect(Object.keys(schema.properties)).toEqual([
    'api',
    'instances',
    'defaults',
    'groups',
    'include',
    'retry',
    'verify',
    'results',
    'redis',
    'ops',
    'join',
    'shutdownTimeout',
  ]);
  expect(schema).toMatchObject({ additionalProperties: false, required: ['instances'] });
  expect(schema.anyOf).toEqual([{ required: ['groups'] }, { required: ['include'] }]);
  const group = schema.properties.groups.items;
  expect(group).toMatchObject({ additionalProperties: false, required: ['id', 'identifier'] });
  expect(group.properties.every.pattern).toContain('ms|s|m|h|d');
  expect(group.properties.window.properties.days.items.enum).toContain('mon');
  const included = JSON.parse(jsonSchemas['config/groups.schema.json']);
  expect(included).toMatchObject({ additionalProperties: false, required: ['groups'] });
  expect(included.properties.groups.items).toEqual(group);
});
