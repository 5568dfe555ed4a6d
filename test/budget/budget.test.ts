import { describe, expect, it } from 'vitest';
import { bucketOf, createBudget, type Slot } from '../../src/budget/budget.ts';
import type { CallFailure, CallOutcome } from '../../src/ryze/outcome.ts';
import { failed, resetTo, silent, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const perMs = 60_000;
const start = 1_763_802_000_000;
const bot = { name: 'bot', rateLimit: { max: 4, perMs, reserve: 1 }, paceMs: 0 };
const token = 'a-token';

/** On a clock that stands still until the test moves it. */
function make() {
  const { redis: real, keys, prefix } = testRedis();
  const clock = virtualRedis(real, `${prefix}:clock`);
  const db = { redis: clock.redis, keys, prefix };
  const budget = createBudget(db, { callTimeoutMs: 1_000 });
  /** Since the start. */
  const at = (ms: number) => clock.setTime(start + ms);
  at(0);
  /** The first call. Its answer shows the server's count, so the count is known from then on. */
  async function learn(limit = 4, remaining = 3, resetInMs = perMs) {
    const slot = await take();
    await budget.settle(bot, slot, answered({ limit, remaining, resetInMs }));
  }
  async function take(
    purpose: 'oneOff' | 'scheduledReset' | 'scheduledRead' = 'oneOff',
    instance = bot,
  ): Promise<Slot> {
    const grant = await budget.ask(instance, token, purpose, purpose);
    if (!grant.granted) throw new Error(`denied: ${grant.why}`);
    return grant;
  }
  async function denied(purpose: 'oneOff' | 'scheduledReset' | 'scheduledRead' = 'oneOff', instance = bot) {
    const grant = await budget.ask(instance, token, purpose, purpose);
    return grant.granted ? null : grant;
  }
  return { ...db, budget, at, learn, take, denied };
}

/** A call that worked. */
const answered = (rateLimit: CallOutcome['rateLimit'] = null) => slotCall({ ...resetTo('NEW'), rateLimit });
/** A call that the server refused for its limit. */
const exhausted = (over: Partial<CallFailure> = {}) => slotCall(failed('rate_limited', { httpStatus: 429, ...over }));

it('never names a bucket by its token', () => {
  expect(bucketOf('a-token')).toMatch(/^[0-9a-f]{16}$/);
});

describe('a bucket whose count is unknown', () => {
  it('lets one call go alone, and learns from it that others use the token', async () => {
    const { budget, take, denied } = make();
    const first = await take();
    expect(await denied()).toMatchObject({ why: 'probing' });
    // The server has counted 3, of which 1 was ours.
    await budget.settle(bot, first, answered({ limit: 4, remaining: 1, resetInMs: perMs }));
    await take();
    expect(await denied()).toMatchObject({ why: 'budget' });
    expect(await budget.capacity(bot, token, 0)).toMatchObject({ used: 4, limit: 4, foreign: 2 });
  });
  it('lets other calls ask again less and less often', async () => {
    const { budget, at, take } = make();
    await take();
    const asked: number[] = [];
    for (let ms = 0; ms < 10_000; ) {
      at(ms);
      const grant = await budget.ask(bot, token, 'oneOff', 'other');
      if (grant.granted) break;
      expect(grant.why).toBe('probing');
      asked.push(ms);
      ms += grant.waitMs;
    }
    // Until it is presumed dead.
    expect(asked).toEqual([0, 100, 200, 400, 800, 1_600, 3_200, 6_400]);
  });
  it('wakes the waiters in the same process as soon as the first call is answered', async () => {
    const { budget, take } = make();
    const first = await take();
    const others = [1, 2, 3].map((i) => budget.acquire(bot, token, 'oneOff', `other-${i}`));
    await budget.settle(bot, first, answered({ limit: 4, remaining: 3, resetInMs: perMs }));
    expect(await Promise.all(others)).toMatchObject([{ granted: true }, { granted: true }, { granted: true }]);
  });
  it('lets the next call go when the first was never sent', async () => {
    const { budget, take } = make();
    await budget.settle(bot, await take(), null);
    await take();
    expect(await budget.capacity(bot, token, 0)).toMatchObject({ used: 1 });
  });
});

describe('the limit', () => {
  it('holds, less the reserve for scheduled work', async () => {
    const { learn, take, denied } = make();
    await learn();
    await take('scheduledReset');
    await take('scheduledRead');
    expect(await denied('scheduledReset')).toMatchObject({ why: 'reserved' });
    await take('oneOff');
    expect(await denied('oneOff')).toMatchObject({ why: 'budget' });
    expect(await denied('scheduledReset')).toMatchObject({ why: 'budget' });
  });
  it('gives a slot back only `per` after its answer', async () => {
    const { budget, at, learn, take, denied, redis, keys } = make();
    await learn();
    const slots = [await take(), await take(), await take()];
    at(500);
    await budget.settle(bot, slots[0]!, answered());
    const back = Number(await redis.zscore(keys.slots(bucketOf(token)), slots[0]!.id));
    expect(back).toBe(start + 500 + perMs);
    const held = Number(await redis.zscore(keys.slots(bucketOf(token)), slots[1]!.id));
    // Send window, timeout and `per`, for a process that died.
    expect(held - back).toBeGreaterThan(5_000);
    // The first call's.
    at(perMs);
    await take();
    expect((await denied())?.waitMs).toBeLessThanOrEqual(500);
    at(perMs + 500);
    await take();
    expect(await denied()).toMatchObject({ why: 'budget' });
  });
  it('keeps a slot without an answer for as long as its call may still be counted', async () => {
    const { budget, learn, take, redis, keys } = make();
    await learn();
    const slot = await take();
    await budget.settle(bot, slot, slotCall(silent));
    const back = Number(await redis.zscore(keys.slots(bucketOf(token)), slot.id));
    expect(back).toBeGreaterThan(start + 1_000 + perMs);
  });
  it("is the lower one of the server's and ours", async () => {
    const { budget, take, denied, learn } = make();
    await learn(2, 1);
    await take();
    expect(await denied()).toMatchObject({ why: 'budget' });
    expect(await budget.capacity(bot, token, 0)).toMatchObject({ limit: 2 });
    const other = make();
    await other.learn(50, 49);
    expect(await other.budget.capacity(bot, token, 0)).toMatchObject({ limit: 4 });
  });
  it('closes until the reset after a refusal for the limit, to one-offs too', async () => {
    const { budget, at, learn, take, denied } = make();
    await learn();
    const slot = await take();
    await budget.settle(bot, slot, exhausted({ rateLimit: { limit: 4, remaining: 0, resetInMs: 400 } }));
    at(399);
    expect(await denied()).toMatchObject({ why: 'exhausted' });
    expect(await budget.capacity(bot, token, 0)).toMatchObject({ closedForMs: 1 });
    at(400);
    await take();
  });
  it('is probed by one call at a time after each refusal, at doubling intervals, whatever the server says', async () => {
    const { budget, at } = make();
    const minute = { ...bot, rateLimit: { max: 100, perMs, reserve: 0 } };
    let calls = 0;
    /** Each call is refused, and says that the count resets at once. */
    for (let now = 0; now < 40_000; now += 10) {
      at(now);
      const first = await budget.ask(minute, token, 'oneOff', 'a');
      if (!first.granted) {
        now += first.waitMs;
        continue;
      }
      calls += 1;
      expect(await budget.ask(minute, token, 'oneOff', 'b')).toMatchObject({ granted: false, why: 'probing' });
      at(now + 5);
      await budget.settle(minute, first, exhausted({ rateLimit: { limit: 100, remaining: 0, resetInMs: 0 } }));
    }
    expect(calls).toBeLessThanOrEqual(8);
  });
  it.each([
    ['as it says', 5_000, 5_000],
    ['for a full period where it says nothing', undefined, 60_000],
    ['for no longer than it may', 86_400_000, 600_000],
  ])('closes after a refusal without a count %s', async (_name, retryAfterMs, closedForMs) => {
    const { budget } = make();
    const minute = { ...bot, rateLimit: { max: 100, perMs, reserve: 0 } };
    const slot = await budget.ask(minute, token, 'oneOff', 'a');
    if (!slot.granted) throw new Error('denied');
    await budget.settle(minute, slot, exhausted({ retryAfterMs: retryAfterMs ?? null }));
    expect(await budget.capacity(minute, token, 0)).toMatchObject({ closedForMs });
  });
  it('is shared only by instances with the same token', async () => {
    const { budget, learn, take, denied } = make();
    const twin = { ...bot, name: 'twin' };
    await learn();
    await take('oneOff', twin);
    await take('oneOff', twin);
    await take();
    expect(await denied('oneOff', twin)).toMatchObject({ why: 'budget' });
    expect(await budget.ask(twin, 'another-token', 'oneOff', 'w')).toMatchObject({ granted: true });
  });
});

describe('a waiter', () => {
  const six = { ...bot, rateLimit: { max: 6, perMs: 60_000, reserve: 2 } };
  async function taken() {
    const { budget, at } = make();
    const ask = (waiter: string, purpose: 'oneOff' | 'scheduledReset' = 'oneOff') =>
      budget.ask(six, token, purpose, waiter);
    // Six calls, answered at 1, 2, ... 6 s.
    for (let i = 1; i <= 6; i++) {
      at(i * 1_000 - 5);
      const slot = await ask(`early-${i}`);
      if (!slot.granted) throw new Error('denied');
      at(i * 1_000);
      await budget.settle(six, slot, answered({ limit: 6, remaining: 6 - i, resetInMs: 60_000 }));
    }
    return { at, ask };
  }

  it('gets a time of its own, shortly before its slot is given back, and gets the slot then', async () => {
    const { at, ask } = await taken();
    at(10_000);
    expect(await ask('a')).toMatchObject({ granted: false, waitMs: 51_000 - 100 });
    expect(await ask('b')).toMatchObject({ granted: false, waitMs: 52_000 - 100 });
    expect(await ask('a')).toMatchObject({ granted: false, waitMs: 51_000 - 100 });
    at(60_900);
    expect(await ask('a')).toMatchObject({ granted: true, startsInMs: 100 });
    expect(await ask('b')).toMatchObject({ granted: false, waitMs: 1_100 - 100 });
  });
  it('is not overtaken by a later one', async () => {
    const { at, ask } = await taken();
    at(10_000);
    await ask('a');
    at(61_000);
    expect(await ask('later')).toMatchObject({ granted: false });
    expect(await ask('a')).toMatchObject({ granted: true });
  });
  it('leaves the wait list when it does not come, and blocks no slot', async () => {
    const { at, ask } = await taken();
    at(10_000);
    await ask('gone');
    at(63_000);
    expect(await ask('later')).toMatchObject({ granted: true });
  });
  it('comes before all scheduled work if it is a one-off', async () => {
    const { at, ask } = await taken();
    at(10_000);
    // Four of six are for scheduled work: three must be given back before its first call.
    expect(await ask('scheduled', 'scheduledReset')).toMatchObject({ waitMs: 53_000 - 100 });
    expect(await ask('one-off')).toMatchObject({ waitMs: 51_000 - 100 });
    at(10_001);
    expect(await ask('scheduled', 'scheduledReset')).toMatchObject({ waitMs: 54_000 - 101 });
  });
});

it('the pace delays scheduled resets, and nothing else', async () => {
  const { learn, take, denied } = make();
  await learn();
  const slow = { ...bot, paceMs: 10_000 };
  await take('scheduledReset', slow);
  expect(await denied('scheduledReset', slow)).toMatchObject({ why: 'pace' });
  await take('scheduledRead', slow);
  await take('oneOff', slow);
});
