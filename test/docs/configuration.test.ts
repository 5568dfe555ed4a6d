/** The tables of docs/configuration.md against the schema of the configuration file. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../dev/jsonSchemas.ts';

interface Schema {
  readonly type?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const root: Schema = JSON.parse(jsonSchemas['config/rotation.schema.json']);

/** Cells of the tables: the default by key. One row may have several keys. */
const documented = new Map(
  [...page.matchAll(/^\| (`[^|]+`) +\| ([^|]*?) +\|/gm)].flatMap(([, keys = '', value = '']) =>
    keys.split(', ').map((key) => [key.replaceAll('`', ''), value.replaceAll('`', '')] as const),
  ),
);

/** Every key below a map, as the page writes it. */
function keysOf(schema: Schema, prefix = ''): (readonly [string, Schema])[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    // The page describes these maps in one row each.
    const isRow = documented.has(path);
    const inner = value.anyOf?.at(-1) ?? value;
    if (isRow || name === 'defaults') return [[path, inner] as const];
    if (inner.properties !== undefined) return keysOf(inner, `${path}.`);
    if (inner.items?.properties !== undefined) return keysOf(inner.items, `${path}[].`);
    return [[path, inner] as const];
  });
}

it('has a row for every key, and no others', () => {
  const keys = keysOf(root).map(([key]) => key);
  expect(keys).toContain('groups[].window');
  expect([...documented.keys()].sort()).toEqual(keys.filter((key) => key !== 'defaults').sort());
});

/** `defaults` and `groups[].window` may be left out, so the defaults of their keys do not apply on their own. */
const withDefaults = keysOf(root).filter(([key]) => key !== 'defaults' && key !== 'groups[].window');

it.each(withDefaults)('shows the default of %s', (key, schema) => {
  const shown = documented.get(key) ?? '';
  if (typeof schema.default === 'string' || typeof schema.default === 'number') expect(shown).toBe(`${schema.default}`);
  // A map in one row shows the defaults of its keys.
  for (const [name, inner] of Object.entries(schema.properties ?? {}))
    if (inner.default !== undefined) expect(shown).toContain(`${name}: ${inner.default}`);
});
