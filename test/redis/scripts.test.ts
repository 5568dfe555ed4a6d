import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
// @ts-expect-error: the configuration of the build has no types
import { readLua } from '../../rolldown.config.js';
import { loadScript } from '../../src/redis/scripts.ts';
import { testRedis } from '../support/redis.ts';

const source = fileURLToPath(new URL('../../src/', import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.lua'))
  .map((path) => join(source, path));

it('every script is valid with what it includes, from the sources as from the build', async () => {
  const { redis } = testRedis();
  let including = 0;
  for (const file of files) {
    const built = readLua(file);
    const texts = [built, loadScript(basename(file, '.lua'), pathToFileURL(file).href).lua];
    const text = readFileSync(file, 'utf8');
    const included = [...text.matchAll(/^--- @include ".*?(\w+)"$/gm)].map(([, name = '']) => name);
    if (included.length > 0) including += 1;
    for (const lua of texts) {
      expect(lua).not.toContain('@include');
      for (const name of included) expect(lua, file).toContain(`local function ${name}(`);
      await expect(redis.script('LOAD', lua), file).resolves.toMatch(/^[0-9a-f]{40}$/);
    }
    expect(built.split('\n').length, file).toBe(text.split('\n').length);
  }
  expect(including).toBeGreaterThan(2);
});
