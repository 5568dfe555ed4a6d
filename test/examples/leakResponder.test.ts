import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/redisServer.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const main = fileURLToPath(new URL('../../dist-examples/leak-responder/respond.js', import.meta.url));

it('replaces a leaked link, and reports an unknown group', async () => {
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 1h, firstSeen: wait }]
verify: off`,
  });
  await rig.start();
  const port = await freePort();
  const env = { PATH: process.env.PATH, REDIS_URL: rig.url, PREFIX: rig.prefix, PORT: String(port) };
  const child = spawn(process.execPath, [main], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const post = (path: string, method = 'POST') => fetch(`http://127.0.0.1:${port}${path}`, { method });
  const first = await until('it to listen', () => post('/leaked/vip').catch(() => null));
  expect(first.status).toBe(202);
  expect(await rig.later('vip')).toMatchObject({ request: { reason: 'leaked', requestedBy: 'leak-responder' } });
  const unknown = await post('/leaked/vipp');
  expect([unknown.status, await unknown.text()]).toEqual([422, expect.stringContaining('did you mean "vip"?')]);
  expect((await post('/leaked/vip', 'GET')).status).toBe(404);
});
