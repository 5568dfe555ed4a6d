/** Real processes that lose Redis, or are frozen. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { logged } from '../support/cli.ts';
import { createFaultProxy, type FaultProxy } from '../support/faultProxy.ts';
import { testRedis } from '../support/redis.ts';
import { freePort, startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';
import { jids, makeRig, type Place } from './rig.ts';

const make = (place: Place) => makeRig(place, createFaultProxy);
type Rig = Awaited<ReturnType<typeof make>>;

/** Resumed: ticks, jobs and the calls in flight when the outage began. */
async function survive(rig: Rig, lose: (proxy: FaultProxy) => Promise<void> | void, forMs: number): Promise<void> {
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0, 1, 2, 3);
  expect(await rig.rotate('g0')).toBe('completed');
  rig.standIn.faults.next({ kind: 'slow', ms: 2_000 }, { endpoint: 'reset', jid: jids[1]! });
  const inFlight = await rig.ask('g1');
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[1]! }).length === 1);
  await lose(rig.proxy);
  await sleep(forMs);
  const before = rig.ticks(worker);
  await rig.proxy.heal();
  await until('ticks to continue', () => rig.ticks(worker) > before);
  expect(await rig.end(inFlight)).toBe('completed');
  expect(await rig.rotate('g2')).toBe('completed');
  for (const group of [0, 1, 2]) await rig.expectLive(group);
  expect(rig.standIn.log.of({ jid: jids[1]!, endpoint: 'reset' })).toHaveLength(1);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
}

it('continues after Redis was unreachable for 1, 20 and 60 s, with refused or silent connections', async () => {
  const refuse = (proxy: FaultProxy) => proxy.refuse();
  const silence = (proxy: FaultProxy) => proxy.blackHole();
  const outages = [
    [refuse, 1_000],
    [refuse, 20_000],
    [refuse, 60_000],
    [silence, 20_000],
  ] as const;
  await Promise.all(outages.map(async ([lose, forMs]) => survive(await make(testRedis()), lose, forMs)));
}, 240_000);

it('resumes all work when Redis is restarted with its append-only file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-outage-redis-'));
  const binary = inject('redisServer');
  const port = await freePort();
  let server = await startRedisServer({ binary, folder, port, appendOnly: true });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const rig = await make({ url: server.url, prefix: 'bull', redis });
  const restart = async () => {
    await server.stop();
    await sleep(1_500);
    server = await startRedisServer({ binary, folder, port, appendOnly: true });
  };
  await survive(rig, restart, 0);
}, 180_000);

it('cannot commit after it was frozen for longer than its locks last', async () => {
  const rig = await make(testRedis());
  const frozen = rig.start();
  await logged(frozen, 'started');
  expect(await rig.rotate('g0')).toBe('completed');
  rig.standIn.faults.next({ kind: 'slow', ms: 3_000 }, { endpoint: 'reset' });
  const asked = await rig.ask('g0');
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset' }).length === 2);
  frozen.child.kill('SIGSTOP');
  const other = rig.start();
  await logged(other, 'started');
  // The other one takes the group over, reads the frozen one's link back, and rotates it once more.
  expect(await rig.end(asked)).toBe('completed');
  expect(await rig.rotate('g0')).toBe('completed');
  frozen.child.kill('SIGCONT');
  expect(await rig.rotate('g1')).toBe('completed');
  await rig.expectLive(0);
  expect(rig.eventsOf(0)).toMatchObject([{ reason: 'request' }, { reason: 'recovery' }, { reason: 'request' }]);
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })).toHaveLength(3);
}, 180_000);
