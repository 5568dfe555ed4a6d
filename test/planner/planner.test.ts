import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { type Budget, createBudget } from '../../src/budget/budget.ts';
import { closeGate } from '../../src/budget/gate.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { tick } from '../../src/planner/planner.ts';
import { placeOf } from '../../src/worker/rules.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const jid = (n: number) => `1203634062890${String(n).padStart(5, '0')}@g.us`;

/** `count` groups of one instance, all due; the limit is 12 a minute, of which 2 are in reserve. */
async function make({ count = 30, instance = '', defaults = 'every: 1d', instances = 1, clockAt = 0 } = {}) {
  const base = testRedis();
  const { keys, prefix } = base;
  const clock = virtualRedis(base.redis, `${prefix}:clock`);
  if (clockAt > 0) clock.setTime(clockAt);
  const redis = clockAt > 0 ? clock.redis : base.redis;
  const limit = 'rateLimit: { max: 12, reserve: 2 }';
  const names = Array.from({ length: instances }, (_, i) => `bot${i}`);
  const parsed = parseConfig(
    `instances: [${names.map((name) => `{ name: ${name}, tokenEnv: T, ${limit}${instance} }`).join(', ')}]
defaults: { ${defaults} }
groups: [${Array.from({ length: count }, (_, i) => `{ id: g${i}, identifier: ${jid(i)}, instance: bot${i % instances} }`).join(', ')}]`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const config: Config = parsed.config;
  const store = createGroupStore(redis, keys);
  const budget: Budget = createBudget(redis, keys, { callTimeoutMs: 1_000 });
  await syncRegistry({ redis, keys, store, placeOf: (group) => placeOf(config, group) }, config);
  const queues = new Map(
    names.map((name) => [name, new Queue(`rotations-${name}`, { connection: base.redis, prefix })]),
  );
  onTestFinished(async () => {
    for (const queue of queues.values()) await queue.close();
  });
  const queueOf = (name: string) => queues.get(name)!;
  const released = async (name = 'bot0') =>
    (await queueOf(name).getJobs(['prioritized'], 0, -1, true)).map((job) => [job.name, job.data.group]);
  return {
    ...base,
    config,
    store,
    budget,
    queueOf,
    released,
    setTime: clock.setTime,
    plan: (inForce = config) =>
      tick({ redis, keys, store, budget, config: inForce, tokenOf: () => 'a-token', queueOf }),
    /** As if it had fallen due that long ago. */
    overdue: (id: string, ms: number) =>
      store.update(placeOf(config, config.groups.find((group) => group.id === id)!), (record, nowMs) => ({
        record: { ...record, dueAt: nowMs - ms },
        result: undefined,
      })),
  };
}

it('releases no more than the budget serves, most overdue first, and nothing on top while that is queued', async () => {
  const { plan, released, overdue } = await make();
  await overdue('g17', 60_000);
  await overdue('g4', 50_000);
  expect(await plan()).toMatchObject({ released: 10 });
  const first = await released();
  expect(first).toHaveLength(10);
  expect(first.slice(0, 2)).toEqual([
    ['scheduled', 'g17'],
    ['scheduled', 'g4'],
  ]);
  expect(await plan()).toMatchObject({ released: 0 });
  expect(await released()).toEqual(first);
});

it('goes on when the queue has been worked off', async () => {
  const { plan, released, queueOf } = await make();
  await plan();
  const first = await released();
  await queueOf('bot0').drain();
  await plan();
  const second = await released();
  expect(second).toHaveLength(10);
  expect(second.filter((job) => first.some(([, id]) => id === job[1]))).toEqual([]);
});

it('leaves one-offs in front of what it released', async () => {
  const { plan, queueOf } = await make();
  await plan();
  await queueOf('bot0').add('rotate', { group: 'g3' });
  const counts = await queueOf('bot0').getJobCounts('wait', 'prioritized');
  expect(counts).toEqual({ wait: 1, prioritized: 10 });
});

it('counts what is used of the limit already', async () => {
  const { plan, budget, config } = await make();
  const slot = await budget.acquire(config.instances[0]!, 'a-token', 'oneOff', 'somebody');
  if (!slot.granted) throw new Error('denied');
  // The server has counted 7, 6 of them of others.
  const rateLimit = { limit: 12, remaining: 5, resetInMs: 60_000 };
  await budget.settle(config.instances[0]!, slot, {
    ending: 'answered',
    tookMs: 5,
    rateLimit,
    exhausted: false,
    instance: 'works' as const,
  });
  expect(await plan()).toMatchObject({ released: 3 });
});

it('divides the budget of a shared token among its instances, by who is most overdue', async () => {
  const { plan, released, overdue } = await make({ instances: 2 });
  for (const n of [1, 3, 5, 7]) await overdue(`g${n}`, 60_000 * n);
  expect(await plan()).toMatchObject({ released: 10 });
  const [one, two] = [await released('bot0'), await released('bot1')];
  expect(one.length + two.length).toBe(10);
  expect(two.slice(0, 4)).toEqual([7, 5, 3, 1].map((n) => ['scheduled', `g${n}`]));
});

it('releases nothing to an instance whose gate is closed', async () => {
  const { plan, redis, keys } = await make();
  await closeGate(redis, keys, 'bot0', 'unauthorized');
  expect(await plan()).toMatchObject({ due: 30, released: 0 });
});

it('keeps the pace of an instance', async () => {
  const { plan } = await make({ instance: ', pace: 4s' });
  expect(await plan()).toMatchObject({ released: 2 });
});

it('holds back what fell due while its window was shut', async () => {
  const now = new Date();
  const minute = (offset: number) => {
    const at = new Date(now.getTime() + offset * 3_600_000);
    return `"${String(at.getUTCHours()).padStart(2, '0')}:00"`;
  };
  const { plan, overdue, redis, keys } = await make({
    count: 1,
    defaults: `every: 1d, window: { from: ${minute(2)}, to: ${minute(4)} }`,
  });
  await overdue('g0', 3_600_000);
  expect(await plan()).toMatchObject({ due: 1, released: 0 });
  const next = Number(await redis.zscore(keys.due('bot0'), 'g0'));
  expect(new Date(next).getUTCMinutes()).toBe(0);
  expect(next).toBeGreaterThan(now.getTime() + 3_600_000);
});

it('spends what nobody who is due can use on reading links back', async () => {
  const { plan, released, store, config } = await make({ count: 20, defaults: 'every: 1d, firstSeen: wait' });
  for (const group of config.groups) {
    await store.update(placeOf(config, group), (record, nowMs) => ({
      record: { ...record, link: { code: 'C', url: 'U' }, revision: 1, rotatedAt: 1, verifiedAt: nowMs - 172_800_000 },
      result: undefined,
    }));
  }
  expect(await plan()).toMatchObject({ due: 0, released: 0, verifications: 5 });
  expect((await released()).every(([name]) => name === 'verify')).toBe(true);
});

it('says when it last ran', async () => {
  const { plan, redis, keys } = await make({ count: 1 });
  await plan();
  expect(Math.abs(Number(await redis.get(keys.lastTick)) - Date.now())).toBeLessThan(60_000);
});

it('releases every group once when the clock jumps ahead, and none again when it jumps back', async () => {
  const hourMs = 3_600_000;
  const start = 1_763_802_000_000;
  const { plan, queueOf, released, setTime, store, config } = await make({
    count: 3,
    defaults: 'every: 1h',
    clockAt: start,
  });
  /** As the worker leaves them behind. */
  const rotateAll = async () => {
    await queueOf('bot0').drain();
    for (const group of config.groups) {
      await store.update(placeOf(config, group), (record, nowMs) => ({
        record: { ...record, rotatedAt: nowMs, dueAt: nowMs + hourMs },
        result: undefined,
      }));
    }
  };
  expect(await plan()).toMatchObject({ released: 3 });
  await rotateAll();
  expect(await plan()).toMatchObject({ released: 0 });
  setTime(start + 5 * hourMs);
  expect([await plan(), await plan()]).toMatchObject([{ released: 3 }, { released: 0 }]);
  expect(await released()).toHaveLength(3);
  await rotateAll();
  setTime(start + 2 * hourMs);
  expect(await plan()).toMatchObject({ released: 0 });
  // Who falls due by the clock that is right again is released, whatever was held back by the wrong one.
  await store.update(placeOf(config, config.groups[1]!), (record) => ({
    record: { ...record, dueAt: start + 2 * hourMs - 1 },
    result: undefined,
  }));
  expect(await plan()).toMatchObject({ released: 1 });
  setTime(start + 6 * hourMs + 1_000);
  await plan();
  expect((await released()).map(([, group]) => group).sort()).toEqual(['g0', 'g1', 'g2']);
});
