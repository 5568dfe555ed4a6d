/** What a tick costs, and how the planner knows which instances have something to do. */
import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/budget/budget.ts';
import { refreshInstances, refreshWaitLists } from '../../src/planner/agenda.ts';
import { promoteWaiting } from '../../src/planner/promote.ts';
import { endPause, failCall } from '../support/gates.ts';
import { ownServer } from '../support/ownServer.ts';
import { trafficOf } from '../support/roundTrips.ts';
import { plannerRig } from './plannerRig.ts';

const later = 'every: 1d, firstSeen: wait';
const rigs = { one: { count: 1, instances: 1 }, many: { count: 40, instances: 40 } };

describe('a tick', () => {
  it('costs the same with one instance and with many, if nothing is due', async () => {
    const { redis } = await ownServer();
    /** Commands that Redis ran, those inside scripts included. */
    const commands = async () => {
      const stats = await redis.info('commandstats');
      return [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
    };
    const costs: number[] = [];
    for (const size of [rigs.one, rigs.many]) {
      const rig = await plannerRig({ ...size, defaults: later, verify: '{ every: 1h }', on: redis });
      await rig.plan();
      await promoteWaiting(rig, () => true);
      const before = await commands();
      expect(await rig.plan()).toMatchObject({ due: 0, verifications: 0, opinions: 0 });
      await promoteWaiting(rig, () => true);
      costs.push((await commands()) - before);
      await redis.flushall();
    }
    const [one, many] = costs;
    expect(many).toBe(one);
    expect(many).toBeLessThan(15);
  });

  it.each([
    ['a token of its own', true],
    ['the same token', false],
  ])('takes as many round trips for many instances with %s as for one', async (_, ownTokens) => {
    const trips: number[] = [];
    for (const size of [rigs.one, rigs.many]) {
      const rig = await plannerRig({ ...size, ownTokens, rateLimit: '{ max: 1000 }' });
      await rig.plan();
      await rig.changeAll((_record, nowMs) => ({ dueAt: nowMs - 1 }));
      const { roundTrips, commands } = await trafficOf(rig.redis, async () => {
        expect(await rig.plan()).toMatchObject({ due: size.count, released: size.count });
      });
      trips.push(roundTrips);
      expect(commands / size.count).toBeLessThan(20);
    }
    const [one, many] = trips;
    expect(many).toBe(one);
    expect(many).toBeLessThan(12);
  });

  it('plans the other tokens although one of them fails', async () => {
    const rig = await plannerRig({ count: 3, instances: 3, ownTokens: true });
    const { plan, released, redis, keys, queueOf, failures } = rig;
    // No BullMQ queue can be where a string is.
    await redis.set(queueOf('bot1').toKey('prioritized'), 'x');
    await plan();
    expect(failures).toMatchObject([{ instances: ['bot1'], error: { message: expect.stringContaining('WRONGTYPE') } }]);
    expect(await redis.get(keys.lastTick)).not.toBeNull();
    expect([await released('bot0'), await released('bot2')]).toEqual([[['scheduled', 'g0']], [['scheduled', 'g2']]]);
    await redis.del(queueOf('bot1').toKey('prioritized'));
    expect(await plan()).toMatchObject({ released: 1 });
  });

  it('requests the other second opinions although that of one instance fails', async () => {
    const rig = await plannerRig({ count: 9, instances: 3, ownTokens: true, defaults: later });
    const { plan, released, redis, keys, failures } = rig;
    for (const name of ['bot0', 'bot1', 'bot2']) {
      await failCall(rig, name, 'unauthorized');
      await endPause(rig, name);
    }
    await redis.set(keys.gate('bot1'), 'x');
    expect(await plan()).toMatchObject({ opinions: 2 });
    expect(failures).toMatchObject([{ instances: ['bot1'] }]);
    expect([(await released('bot0')).length, (await released('bot2')).length]).toEqual([1, 1]);
    expect(await redis.get(keys.lastTick)).not.toBeNull();
  });
});

it('jobs that wait for a slot are promoted although those of another instance cannot be read', async () => {
  const rig = await plannerRig({ count: 2, instances: 2, rateLimit: '{ max: 5, reserve: 0 }' });
  const { redis, keys, queueOf, tokenOf, failures } = rig;
  for (const name of ['bot0', 'bot1']) await queueOf(name).add('scheduled', {}, { jobId: 'waits', delay: 60_000 });
  await redis.hset(queueOf('bot0').toKey('waits'), 'data', 'no JSON');
  const bucket = bucketOf(tokenOf('bot0'));
  await redis.sadd(keys.waitLists, bucket);
  await redis.zadd(keys.waitList(bucket, 'scheduled'), Date.now() + 60_000, 'waits');
  expect(await promoteWaiting(rig, () => true)).toBe(1);
  expect(failures).toMatchObject([{ instances: ['bot0'], error: { name: 'SyntaxError' } }]);
  expect(await queueOf('bot1').getDelayedCount()).toBe(0);
});

describe('the first times of instances', () => {
  it('follow every change of a record, and what the planner postpones', async () => {
    const { redis, keys, plan, change } = await plannerRig({ count: 2, defaults: later, verify: '{ every: 1h }' });
    const first = async () => [
      await redis.zscore(keys.firstDue, 'bot0'),
      await redis.zscore(keys.firstVerification, 'bot0'),
    ];
    await change(0, () => ({ dueAt: 2_000, verifiedAt: 9_000, rotatedAt: 1 }));
    await change(1, () => ({ dueAt: 3_000, verifiedAt: 8_000, rotatedAt: 1 }));
    expect(await first()).toEqual(['2000', String(8_000 + 3_600_000)]);
    await change(0, () => ({ dueAt: 4_000 }));
    expect((await first())[0]).toBe('3000');
    await plan();
    expect(Number((await first())[0])).toBeGreaterThan(Date.now());
    for (const n of [0, 1]) await change(n, () => ({ dueAt: null, duplicateOf: 'another' }));
    expect(await first()).toEqual([null, null]);
  });

  it('that are missing or wrong, as after an older version, are put right by a refresh or a look', async () => {
    const { redis, keys, plan, change, ...db } = await plannerRig({ count: 2, instances: 2 });
    await redis.del(keys.firstDue);
    expect(await plan()).toMatchObject({ due: 0 });
    await refreshInstances({ redis, keys, prefix: db.prefix }, ['bot0', 'bot1']);
    expect(await plan()).toMatchObject({ due: 2, released: 2 });
    // An entry too many costs one look.
    await change(0, (_, nowMs) => ({ dueAt: nowMs + 60_000 }));
    await redis.zadd(keys.firstDue, 1, 'bot0', 1, 'bot1');
    expect(await plan()).toMatchObject({ due: 0 });
    expect(await redis.zrangebyscore(keys.firstDue, '-inf', Date.now())).toEqual([]);
  });
});

it('instances with a gate are known until a tick finds it open', async () => {
  const rig = await plannerRig({ count: 2, instances: 2, defaults: later });
  const { redis, keys, plan } = rig;
  await failCall(rig, 'bot1', 'unauthorized');
  await plan();
  expect(await redis.smembers(keys.gates)).toEqual(['bot1']);
  await redis.del(keys.gate('bot1'));
  await plan();
  expect(await redis.smembers(keys.gates)).toEqual([]);
});

it('tokens with a wait list are known until it is gone', async () => {
  const rig = await plannerRig({ count: 1, rateLimit: '{ max: 1, reserve: 0 }' });
  const { redis, keys, budget, config, tokenOf } = rig;
  const [bot] = config.instances;
  const bucket = bucketOf(tokenOf('bot0'));
  await redis.hset(keys.bucket(bucket), 'known', 1);
  for (const waiter of ['a', 'b']) await budget.ask(bot!, tokenOf('bot0'), 'scheduledReset', waiter);
  expect(await redis.smembers(keys.waitLists)).toEqual([bucket]);
  await redis.del(keys.waitLists);
  await refreshWaitLists(rig, [bucket, 'another']);
  expect(await redis.smembers(keys.waitLists)).toEqual([bucket]);
  await redis.del(keys.waitList(bucket, 'scheduled'));
  expect(await promoteWaiting(rig, () => true)).toBe(0);
  expect(await redis.smembers(keys.waitLists)).toEqual([]);
});
