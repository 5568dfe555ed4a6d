/** Stack traces of the built program, which is one minified bundle, name the functions, files and lines of `src`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { withSourceLines } from '../../src/sourceLines.ts';
import { run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';

const root = new URL('../../', import.meta.url);
const built = new URL('dist/', root);

function sourceLine(place: string): string {
  const [file = '', line] = place.split(':');
  return readFileSync(new URL(file, root), 'utf8').split('\n')[Number(line) - 1] ?? '';
}

it('names the place of a bug', async () => {
  const { env } = await makeCliRig('');
  const broken = 'data:text/javascript,Date.now = () => { throw new Error(1) }';
  const check = run(['check'], { env: { ...env, NODE_OPTIONS: `--import "${broken}"` } });
  expect(await check.ended).toBe(1);
  const [, place = ''] = /^ +at check \((.*)\)$/m.exec(check.stderr) ?? [];
  expect(place, check.stderr).toMatch(/^src\/commands\/check\.ts:\d+$/);
  expect(sourceLine(place)).toContain('Date.now');
  expect(check.stderr).not.toContain('dist/');
});

it('finds every function of the bundle where its source has it', () => {
  const wrong: string[] = [];
  let found = 0;
  for (const name of readdirSync(built).filter((file) => file.endsWith('.js'))) {
    const lines = readFileSync(join(fileURLToPath(built), name), 'utf8').split('\n');
    for (const [index, text] of lines.entries()) {
      const [, declared] = /^(?:async )?function ([a-z]\w*)\(/.exec(text) ?? [];
      if (declared === undefined) continue;
      const [, place = ''] =
        /\((.*)\)/.exec(withSourceLines(`(${new URL(name, built).href}:${index + 1}:1)`, built.href)) ?? [];
      found += 1;
      if (!place.startsWith('src/') || !sourceLine(place).includes(declared))
        wrong.push(`${name}: ${declared}: ${place}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(found).toBeGreaterThan(500);
});

it('leaves other places as they are', () => {
  const stack = 'Error: x\n    at f (file:///elsewhere/a.js:3:4)\n    at node:internal/process:1:2';
  expect(withSourceLines(stack)).toBe(stack);
});
