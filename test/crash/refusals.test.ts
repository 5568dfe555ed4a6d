/** Real workers on a Redis that refuses commands for 12 s, for each reason, in the middle of 30 one-offs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { logged } from '../support/cli.ts';
import { ownServer } from '../support/ownServer.ts';
import { until } from '../support/until.ts';
import { makeRig, noProxy, type Place } from './rig.ts';

const refusedForMs = 12_000;

interface Weather {
  begin(redis: Redis): Promise<unknown>;
  end(redis: Redis): Promise<unknown>;
}

const set = (name: string, value: string) => (redis: Redis) => redis.config('SET', name, value);

const weathers: Readonly<Record<string, Weather>> = {
  NOREPLICAS: { begin: set('min-replicas-to-write', '1'), end: set('min-replicas-to-write', '0') },
  OOM: { begin: set('maxmemory', '1'), end: set('maxmemory', '0') },
  BUSY: {
    async begin(redis) {
      await redis.config('SET', 'busy-reply-threshold', '50');
      const busy = redis.duplicate();
      busy.on('error', () => {});
      busy
        .eval('while true do end', 0)
        .catch(() => {})
        .finally(() => busy.disconnect());
    },
    async end(redis) {
      await redis.script('KILL');
      const isOver = () =>
        redis.ping().then(
          () => true,
          () => false,
        );
      await until('the script to end', isOver);
    },
  },
  READONLY: {
    begin: (redis) => redis.replicaof('127.0.0.1', 1),
    end: (redis) => redis.replicaof('NO', 'ONE'),
  },
};

const groups = Array.from({ length: 30 }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);
const isLoud = ({ level, event }: { readonly [field: string]: unknown }) =>
  Number(level) >= 30 && event !== 'rotation.rotated' && event !== 'link.adopted';

/** `redis`: what `/readyz` names meanwhile. */
async function survive(place: Place, redis: string, weather: { begin(): Promise<unknown>; end(): Promise<unknown> }) {
  const rig = await makeRig(place, noProxy, {
    instance: ', rateLimit: { max: 1000, per: 1m }',
    ops: '{ port: 0 }',
    // No call may time out on a busy machine: that would be a different failure.
    api: 'timeout: 10s',
    settleTime: '12s',
    latency: { minMs: 100, maxMs: 300 },
    groups: groups.map((jid) => ({ jid })),
    groupsYaml: groups.map((jid, i) => `{ id: g${i}, identifier: "${jid}" }`).join(', '),
  });
  const worker = rig.start();
  await logged(worker, 'started');
  const { url } = await logged(worker, 'ops.listening');
  await rig.adopted(...groups.keys());
  const before = worker.json().length;
  const asked = [];
  for (const i of groups.keys()) asked.push(await rig.ask(`g${i}`));
  const resets = () => rig.standIn.log.of({ endpoint: 'reset' });
  await until('some to be done', () => resets().length >= 8);
  await weather.begin();
  const over = sleep(refusedForMs);
  const readiness = async () => (await (await fetch(`${url}/readyz`)).json()) as { redis?: string };
  await until(`${redis} to be named`, async () => (await readiness()).redis === redis);
  expect(await readiness()).toMatchObject({ ready: false, reasons: ['redis'] });
  expect(await (await fetch(`${url}/metrics`)).text()).toContain(`invite_rotator_redis_trouble{reason="${redis}"} 1`);
  await over;
  await weather.end();
  for (const job of asked) expect(await rig.end(job)).toBe('completed');
  const rotated = () => rig.events.filter(({ type }) => type === 'link.rotated');
  await until('every event', () => rotated().length >= 30);
  expect(resets()).toHaveLength(30);
  expect(
    rotated()
      .map(({ inviteCode }) => inviteCode)
      .sort(),
  ).toEqual(groups.map((jid) => rig.standIn.codeOf(jid)).sort());
  const lines = worker.json().slice(before).filter(isLoud);
  expect(lines.length).toBeLessThan(20);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  return lines;
}

async function waitOut(reason: string, { begin, end }: Weather): Promise<void> {
  const { server, redis } = await ownServer();
  const place = { redis, prefix: 'bull', url: null, env: { REDIS_URL: server.url } };
  const lines = await survive(place, reason, { begin: () => begin(redis), end: () => end(redis) });
  expect(lines).toContainEqual(expect.objectContaining({ event: 'redis.refuses', reason }));
}

it('makes 30 resets and 30 events for 30 one-offs, whatever the reason', { timeout: 180_000 }, async () => {
  await Promise.all(Object.entries(weathers).map(([reason, weather]) => waitOut(reason, weather)));
});

it('waits until the password in Redis is the one in its file again', async () => {
  const { server, redis, folder } = await ownServer();
  await redis.call('ACL', 'SETUSER', 'rotator', 'on', '>old-secret', '~*', '&*', '+@all');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'old-secret');
  const section = `, url: "redis://rotator@127.0.0.1:${server.port}", passwordFile: "${passwordFile}"`;
  const lines = await survive({ redis, prefix: 'bull', url: null, section }, 'wrong user or password', {
    async begin() {
      await redis.call('ACL', 'SETUSER', 'rotator', 'resetpass', '>new-secret');
      await redis.call('CLIENT', 'KILL', 'USER', 'rotator');
    },
    end: () => Promise.resolve(writeFileSync(passwordFile, 'new-secret\n')),
  });
  expect(lines).toContainEqual(expect.objectContaining({ event: 'redis.lost', why: 'wrong user or password' }));
  expect(JSON.stringify(lines)).not.toMatch(/old-secret|new-secret/);
});
