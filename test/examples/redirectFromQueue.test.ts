/** The redirect from a results queue, with a real worker. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/redisServer.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const main = fileURLToPath(new URL('../../dist-examples/redirect-from-queue/server.js', import.meta.url));

function start({ url, prefix }: Rig, port: number) {
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, REDIS_URL: url, PREFIX: prefix, QUEUE: 'redirects', PORT: String(port) },
    stdio: 'inherit',
  });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  onTestFinished(stop);
  return { stop };
}

it('leads to the live link, before and after a rotation, and after a restart', async () => {
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups: [{ id: vip, identifier: "${jids[0]}" }]
results: { queues: [invite-links, redirects] }
verify: off`,
  });
  await rig.start();
  const port = await freePort();
  const { stop } = start(rig, port);
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`, { redirect: 'manual' }).catch(() => null);
  const leadsTo = async () => (await get('/join/vip'))?.headers.get('location') ?? null;
  const live = () => `https://chat.whatsapp.com/${rig.standIn.codeOf(jids[0]!)}`;
  await until('it to know the first link', async () => (await leadsTo()) === live());
  await rig.ask('bot', { group: 'vip' });
  await until('it to know the new link', async () => (await leadsTo()) === live());
  expect((await get('/join/vip'))?.headers.get('cache-control')).toBe('no-store');
  for (const path of ['/', '/join/', '/join/nobody', '/join/__proto__', '/join/vip/x', '/groups/vip']) {
    expect((await get(path))?.status, path).toBe(404);
  }
  await stop();
  start(rig, port);
  expect(await until('it to listen again', leadsTo)).toBe(live());
});
