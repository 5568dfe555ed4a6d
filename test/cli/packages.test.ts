/** Which packages each command of the built program loads: none that it does not need. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';

const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>;
};

/** Writes the loaded files when the process ends. The built program loads packages by `require`. */
const reporter = `const { writeFileSync } = require('node:fs');
process.on('exit', () => writeFileSync(process.env.LOADED, Object.keys(require.cache).join('\\n')));`;

/** Those of package.json's. `until`: an event after which the command is ended. */
async function loadedBy(args: readonly string[], env: Record<string, string>, folder: string, event?: string) {
  const LOADED = join(folder, 'loaded');
  const preload = join(folder, 'reporter.cjs');
  writeFileSync(preload, reporter);
  const command = run(args, { env: { ...env, LOADED, NODE_OPTIONS: `--require ${preload}` }, cwd: folder });
  if (event !== undefined) {
    await logged(command, event);
    command.child.kill('SIGTERM');
  }
  const code = await command.ended;
  expect(code, command.stderr).toBe(0);
  const files = readFileSync(LOADED, 'utf8').split('\n');
  const names = new Set(files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? ''));
  return [...names].filter((name) => name in dependencies).sort();
}

const file = ['commander', 'zod'];
const redis = ['commander', 'ioredis', 'zod'];
const online = ['commander', 'ioredis', 'undici', 'zod'];

it.each([
  [['--version'], ['commander']],
  [['--help'], ['commander']],
  [['health'], file],
  [['check'], redis],
  [['status'], redis],
  [['links'], redis],
  [['history'], redis],
  [['groups'], online],
  [['check', '--online'], online],
])('%j loads %j', async (args, expected) => {
  const { env, folder } = await makeCliRig('ops: off');
  expect(await loadedBy(args, env, folder)).toEqual(expected);
});

it('loads neither Redis nor a time zone to check a file without them', async () => {
  const { env, folder } = await makeCliRig('');
  const { REDIS_URL: _, ...others } = env;
  expect(await loadedBy(['check'], others, folder)).toEqual(file);
});

it.each(['start', 'join'])('%s loads no package of other commands', async (command) => {
  const { env, folder } = await makeCliRig('ops: off');
  const all = await loadedBy([command], env, folder, command === 'start' ? 'started' : 'join.listening');
  const own = command === 'start' ? ['bullmq'] : ['qrcode'];
  expect(all).toEqual(expect.arrayContaining([...redis, ...own, 'pino'].sort()));
  for (const other of [
    'cli-progress',
    'fastest-levenshtein',
    'pino-pretty',
    'yaml',
    command === 'start' ? 'qrcode' : 'bullmq',
  ])
    expect(all).not.toContain(other);
});
