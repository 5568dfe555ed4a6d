/** Periodic verification keeps to its share of the limit, with any number of processes, and gives way to other work. */
import { expect, it } from 'vitest';
import { bucketOf, createBudget } from '../../src/budget/budget.ts';
import { resetTo, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const perMs = 60_000;
const start = 1_763_802_000_000;

/** Two processes on a clock that the test moves. The server's count is known. */
async function stage(max: number, share = 0.1) {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  clock.setTime(start);
  const db = { redis: clock.redis, keys, prefix };
  const open = (verifyShare: number) => [0, 1].map(() => createBudget(db, { callTimeoutMs: 1_000, verifyShare }));
  let budgets = open(share);
  const bot = { name: 'bot', rateLimit: { max, perMs, reserve: 0 }, paceMs: 0 };
  await redis.hset(keys.bucket(bucketOf('token')), 'known', 1);
  let asked = 0;
  return {
    setTime: (ms: number) => clock.setTime(start + ms),
    edit(to: number) {
      budgets = open(to);
    },
    capacity: (horizonMs: number) => budgets[0]!.capacity(bot, 'token', horizonMs),
    ask: (purpose: 'verification' | 'scheduledReset', waiter = String(asked)) =>
      budgets[asked++ % 2]!.ask(bot, 'token', purpose, waiter),
    /** Asks, and answers at once. */
    async read() {
      const budget = budgets[asked++ % 2]!;
      const grant = await budget.ask(bot, 'token', 'verification', String(asked));
      if (grant.granted) await budget.settle(bot, grant, slotCall(resetTo('OLD'), { tookMs: 1 }));
      return grant.granted;
    },
  };
}

it.each([
  [100, 10],
  [25, 2],
  [5, 1],
])('of a limit of %i, no window has more than %i', async (max, allowed) => {
  const { setTime, read } = await stage(max);
  const reads: number[] = [];
  for (let ms = 0; ms < 5 * perMs; ms += 2_000) {
    setTime(ms);
    if (await read()) reads.push(ms);
  }
  for (const from of reads) {
    expect(reads.filter((at) => at >= from && at < from + perMs).length).toBeLessThanOrEqual(allowed);
  }
  // Of the whole share, rounded down for each window, nothing is lost: half a read a window is one in two.
  expect(reads.length).toBeGreaterThanOrEqual(max === 5 ? 3 : 4 * allowed);
});

it('gives way to what waits', async () => {
  const { setTime, ask, read } = await stage(10);
  expect(await read()).toBe(true);
  for (let i = 0; i < 10; i++) await ask('scheduledReset', `reset-${i}`);
  setTime(perMs + 10);
  expect(await ask('verification', 'late')).toMatchObject({ granted: false, why: 'givesWay' });
});

it('uses a share that was edited at once, even if the old one allowed a read an hour', async () => {
  const { setTime, edit, read } = await stage(10, 1 / 600);
  expect(await read()).toBe(true);
  setTime(2 * perMs);
  expect(await read()).toBe(false);
  edit(0.2);
  expect([await read(), await read(), await read()]).toEqual([true, true, false]);
  edit(0.1);
  setTime(3 * perMs + 10);
  expect([await read(), await read()]).toEqual([true, false]);
});

it('no longer gives way by a share that was edited', async () => {
  const { setTime, edit, ask, read } = await stage(10, 1 / 600);
  expect(await read()).toBe(true);
  edit(1);
  for (let i = 0; i < 10; i++) await ask('scheduledReset', `reset-${i}`);
  setTime(perMs - 1_000);
  expect(await ask('verification', 'late')).toMatchObject({ granted: false, why: 'givesWay' });
  // Of the new share, a tenth is one read a minute.
  setTime(perMs);
  expect(await ask('verification', 'late')).toMatchObject({ granted: false, why: 'reserved' });
});

it.each([
  ['a part of `per`', perMs / 12, 1],
  ['several `per`', 5 * perMs, 10],
])('counts the verifications that fit into %s', async (_, horizonMs, fit) => {
  const { read, capacity } = await stage(25);
  expect([await read(), await read()]).toEqual([true, true]);
  const { verifications, verificationsSpread } = await capacity(horizonMs);
  expect(Math.min(verifications, verificationsSpread)).toBe(horizonMs > perMs ? fit : 0);
  expect(verificationsSpread).toBe(fit);
});
