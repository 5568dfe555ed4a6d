/** An edit of the file that a real worker applies while Redis answers some of its commands with an error. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { makeKeys } from '../../src/redis/keys.ts';
import { logged } from '../support/cli.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';
import { jids, makeRig } from './rig.ts';

const keys = makeKeys('bull');
const g0 = `{ id: g0, identifier: "${jids[0]}" }`;

it.each<[string, string, (redis: Redis) => Promise<unknown>, (redis: Redis) => Promise<unknown>]>([
  [
    'refuses every write',
    'redis.refuses',
    (redis) => redis.config('SET', 'maxmemory', '1'),
    (redis) => redis.config('SET', 'maxmemory', '0'),
  ],
  [
    'refuses the commands after the registration',
    'config.unread',
    (redis) => redis.set(keys.gate('bot'), 'of another type'),
    (redis) => redis.del(keys.gate('bot')),
  ],
])('is in force as soon as Redis, which %s, takes it', async (_how, told, refuse, accept) => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-refused-'));
  const server = await startRedisServer({ binary: inject('redisServer'), folder });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const rig = await makeRig({ url: server.url, prefix: 'bull', redis }, createFaultProxy, { groupsYaml: g0 });
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0);

  await refuse(redis);
  rig.edit(`${g0}, { id: g1, identifier: "${jids[1]}" }`);
  worker.child.kill('SIGHUP');
  await logged(worker, told);
  const reloaded = () => worker.json().filter(({ event }) => event === 'config.reloaded');
  expect(reloaded()).toEqual([]);
  await accept(redis);
  await until('the edit to be in force', () => reloaded().length === 1);
  await rig.adopted(1);
  expect(await rig.rotate('g1')).toBe('completed');
  expect(worker.json().filter(({ event, level }) => event === told && level === 50)).toHaveLength(1);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
});
