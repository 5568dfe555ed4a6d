/** Periodic verification keeps to its share of the limit, with any number of processes, and gives way to other work. */
import { expect, it } from 'vitest';
import { bucketOf, createBudget } from '../../src/budget/budget.ts';
import { resetTo, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const perMs = 60_000;
const start = 1_763_802_000_000;

/** Two processes on a clock that the test moves. The server's count is known. */
async function stage(max: number, reserve = 0) {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  clock.setTime(start);
  const db = { redis: clock.redis, keys, prefix };
  const budgets = [0, 1].map(() => createBudget(db, { callTimeoutMs: 1_000, verifyShare: 0.1 }));
  const bot = { name: 'bot', rateLimit: { max, perMs, reserve }, paceMs: 0 };
  await redis.hset(keys.bucket(bucketOf('token')), 'known', 1);
  let asked = 0;
  return {
    setTime: (ms: number) => clock.setTime(start + ms),
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

it('gives way to what waits, but not for ever', async () => {
  const { setTime, ask, read } = await stage(10);
  expect(await read()).toBe(true);
  for (let i = 0; i < 10; i++) await ask('scheduledReset', `reset-${i}`);
  setTime(perMs + 10);
  expect(await ask('verification', 'late')).toMatchObject({ granted: false, why: 'share' });
  // A tenth of the share of one read a minute.
  setTime(11 * perMs);
  expect(await ask('verification', 'late')).toMatchObject({ granted: true });
});
