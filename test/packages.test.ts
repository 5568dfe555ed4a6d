/** Commands load zod without the parts that they do not use. These parts are known by the names of zod's files. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it, onTestFinished } from 'vitest';
import { z as whole } from 'zod';
import { skipUnusedPartsOfZod } from '../src/packages.ts';

const load = createRequire(import.meta.url);
const src = new URL('../src/', import.meta.url);

const loadedOfZod = () => Object.keys(load.cache).filter((file) => /[\\/]node_modules[\\/]zod[\\/]/.test(file));

/** Other test files share this process. */
function unloadZod(): void {
  for (const file of loadedOfZod()) delete load.cache[file];
}

it('skips files that zod has, whose exports no source uses', () => {
  unloadZod();
  onTestFinished(unloadZod);
  skipUnusedPartsOfZod();
  const skipped = loadedOfZod();
  expect(skipped).not.toEqual([]);
  expect(skipped.filter((file) => !existsSync(file))).toEqual([]);

  const { z: partial } = load('zod') as { z: Record<string, unknown> };
  const size = (value: unknown) =>
    typeof value === 'object' ? Object.keys(value ?? {}).length : Number(value != null);
  const missing = Object.entries(whole).flatMap(([name, value]) => (size(partial[name]) < size(value) ? name : []));
  expect(missing).toEqual(expect.arrayContaining(['coerce', 'toJSONSchema']));
  // `z.output<T>` and `z.core.$ZodIssue` are types. Schemas have one of these functions as a method.
  const use = new RegExp(`\\bz\\.(?:${missing.join('|')})(?:\\(|\\.(?!\\$))|\\.toJSONSchema\\(`);
  const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  expect(sources.filter((file) => use.test(readFileSync(new URL(file, src), 'utf8')))).toEqual([]);
});
