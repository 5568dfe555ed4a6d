/** The package as users get it: packed, installed into an empty project, imported, type-checked and run. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { freePort, startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const token = 'token-of-a-packed-program';
const jid = '120363406289005073@g.us';

let project = '';
let packed: { readonly filename: string; readonly size: number; readonly files: readonly { readonly path: string }[] };

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'invite-rotator-package-'));
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', project];
  [packed] = JSON.parse((await run('npm', pack, { cwd: root })).stdout);
  writeFileSync(join(project, 'package.json'), '{ "name": "somebody", "type": "module", "private": true }');
  const install = ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${packed.filename}`];
  await run('npm', install, { cwd: project });
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

/** The README's snippets that use the library, in order. */
function snippets(): string[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code = '']) => code);
  return blocks.filter((code) => code.includes("from 'invite-rotator'"));
}

it('contains what users need, and nothing else', () => {
  const paths = packed.files.map(({ path }) => path);
  const built = readdirSync(join(root, 'dist')).filter((name) => /\.(?:js|txt)$/.test(name));
  expect(paths).toEqual(
    expect.arrayContaining(['dist/index.js', 'dist/index.d.ts', 'dist/cli.js', 'schema/event.v1.json', 'LICENSE']),
  );
  expect(paths.filter((path) => /test|\.map$|standin|demo\/|(?<!\.d)\.ts$/.test(path))).toEqual([]);
  // Also what npm would leave out.
  expect(paths).toEqual(expect.arrayContaining(built.map((name) => `dist/${name}`)));
  // Not the user's own file, which Git ignores.
  expect(paths.filter((path) => path.startsWith('config/')).sort()).toEqual([
    'config/alerts.yaml',
    'config/demo.yaml',
    'config/groups.schema.json',
    'config/rotation.example.yaml',
    'config/rotation.schema.json',
  ]);
  expect(packed.size).toBeLessThan(190_000);
});

it('can be imported, and its command run', async () => {
  const code = "import * as all from 'invite-rotator'; console.log(Object.keys(all).sort().join(' '))";
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: project });
  expect(stdout.trim().split(' ')).toEqual([
    'RotationError',
    'consumeLinks',
    'createRotationClient',
    'errorCodes',
    'linkChanged',
    'linkEvent',
    'linkRotated',
    'rotationFailed',
    'rotationRequest',
    'rotationResult',
  ]);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const command = await run(join(project, 'node_modules/.bin/invite-rotator'), ['--version']);
  expect(command.stdout.trim()).toBe(version);
});

it('has types for strict projects', async () => {
  const [producer = '', consumer = ''] = snippets();
  writeFileSync(join(project, 'producer.ts'), producer);
  writeFileSync(join(project, 'consumer.ts'), consumer);
  const current = "createRotationClient({ connection: 'redis://h' }).current('vip')";
  writeFileSync(
    join(project, 'current.ts'),
    `import { createRotationClient } from 'invite-rotator';
export const link: string | undefined = (await ${current})?.inviteLink;`,
  );
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2023',
    strict: true,
    noEmit: true,
    // Only this package's types are checked, not those of its dependencies.
    skipLibCheck: true,
    typeRoots: [join(root, 'node_modules/@types')],
    types: ['node'],
  };
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['producer.ts', 'consumer.ts', 'current.ts'] }),
  );
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch((error: { stdout: string }) => error);
  expect(stdout).toBe('');
});

it("runs the README's producer and consumer unchanged, with the packed worker", async () => {
  const port = await freePort();
  const redis = await startRedisServer({ binary: inject('redisServer'), folder: project, port });
  const standIn = await startStandIn({ instances: ['bot'], tokens: [{ token }], groups: [{ jid }] });
  writeFileSync(
    join(project, 'rotation.yaml'),
    `api: { baseUrl: "${standIn.url}" }
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jid}", every: 1h, firstSeen: wait }]
ops: off`,
  );
  const env = { PATH: process.env.PATH, REDIS_URL: redis.url, TOKEN: token, ROTATOR_CONFIG: 'rotation.yaml' };
  const begin = (args: readonly string[]) => {
    const child = spawn(process.execPath, args, { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const wrote = { text: '' };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (wrote.text += chunk));
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    return { child, wrote, ended };
  };
  const [producer = '', consumer = ''] = snippets();
  writeFileSync(join(project, 'producer.mjs'), producer);
  writeFileSync(join(project, 'consumer.mjs'), consumer);
  const worker = begin(['node_modules/invite-rotator/dist/cli.js', 'start']);
  const consuming = begin(['consumer.mjs']);
  onTestFinished(async () => {
    for (const { child, ended } of [worker, consuming]) {
      child.kill('SIGTERM');
      await ended;
    }
    await standIn.close();
    await redis.stop();
  });
  await until(`the worker to start; it wrote ${worker.wrote.text}`, () => worker.wrote.text.includes('"started"'));
  const producing = begin(['producer.mjs']);
  expect(await producing.ended, producing.wrote.text).toBe(0);
  const link = `https://chat.whatsapp.com/${standIn.codeOf(jid)}`;
  expect(producing.wrote.text.trim()).toBe(link);
  await until('the consumer to receive the link', () => consuming.wrote.text.includes(`vip is at ${link} now`));
});
