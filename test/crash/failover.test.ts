/**
 * Real processes on a Redis whose primary dies, under load. Replication is asynchronous, so writes that the old primary
 * had not passed on are lost. The assertions hold whatever was lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bullmq';
import { Cluster, Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { createRotationClient } from '../../src/index.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { logged } from '../support/cli.ts';
import {
  password,
  primaryName,
  type RedisGroup,
  sentinelPassword,
  startCluster,
  startSentinels,
} from '../support/redisGroups.ts';
import { until } from '../support/until.ts';
import { makeRig, noProxy, type Place } from './rig.ts';

async function survive(group: RedisGroup, place: Place): Promise<void> {
  place.redis.on('error', () => {});
  onTestFinished(() => place.redis.disconnect());
  const rig = await makeRig(place, noProxy, {
    verify: '{ every: 2s, share: 100% }',
    latency: { minMs: 20, maxMs: 100 },
  });
  const [one, other] = [rig.start(), rig.start()];
  await Promise.all([logged(one, 'started'), logged(other, 'started')]);
  expect(await rig.rotate('g0')).toBe('completed');

  const ticks = () => rig.ticks(one) + rig.ticks(other);
  const pushed: Job[] = [];
  let producing = true;
  const stopProducing = () => {
    producing = false;
  };
  onTestFinished(stopProducing);
  const producer = (async () => {
    for (let i = 0; producing; i++) {
      pushed.push(await rig.ask(`g${i % 4}`));
      await sleep(100);
    }
  })();
  await until('work to be under way', () => rig.events.length > 5);
  await group.failOver(makeKeys(place.prefix).lastTick);
  const before = ticks();
  // BullMQ's workers hang now and then after a failover; one that takes no jobs for 30 s is recreated.
  await until('ticks to continue', () => ticks() > before);
  stopProducing();
  await producer;
  const areDone = async () => {
    const states = await Promise.all(pushed.map((job) => rig.queue.getJobState(job.id!)));
    return states.every((state) => state === 'completed' || state === 'unknown');
  };
  await until('every job that was not lost to be done', areDone);
  for (const i of [0, 1, 2, 3]) {
    expect(await rig.rotate(`g${i}`)).toBe('completed');
    await rig.expectLive(i);
  }

  const client = createRotationClient({ connection: place.redis, prefix: place.prefix });
  const { revision } = await client.rotate('g0');
  const wanted = rig.command('rotate', 'g0', '--wait', '--json');
  expect([await wanted.ended, wanted.stderr]).toEqual([0, '']);
  await rig.expectLive(0);
  expect(rig.eventsOf(0).at(-1)?.revision).toBeGreaterThan(revision);
  await client.close();
  for (const worker of [one, other]) {
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
  }
}

const list = ({ contacts }: RedisGroup) =>
  `[${contacts.map(({ port }) => `{ host: 127.0.0.1, port: ${port} }`).join(', ')}]`;

it('continues when the Sentinels make another server the primary', async () => {
  const group = await startSentinels();
  const redis = new Redis({
    sentinels: [...group.contacts],
    name: primaryName,
    password,
    sentinelPassword,
    maxRetriesPerRequest: null,
    replyMapping: 'legacy',
  });
  const section = `, sentinels: ${list(group)}, name: ${primaryName}, passwordEnv: PW, sentinelPasswordEnv: SPW`;
  await survive(group, { redis, prefix: 'bull', url: null, section, env: { PW: password, SPW: sentinelPassword } });
}, 400_000);

it('continues when a replica takes over in a cluster', async () => {
  const group = await startCluster();
  const redis = new Cluster([...group.contacts], {
    redisOptions: { password, maxRetriesPerRequest: null, replyMapping: 'legacy' },
    maxRedirections: 1_000,
  });
  const section = `, cluster: ${list(group)}, passwordEnv: PW`;
  await survive(group, { redis, prefix: '{links}', url: null, section, env: { PW: password } });
}, 400_000);
