/** The wait lists of a token: order, length, and waiters that never come. The test moves the clock. */

import { describe, expect, it } from 'vitest';
import { bucketOf, createBudget, type Purpose, type Slot, type SlotCall } from '../../src/budget/budget.ts';
import { resetTo, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const max = 100;
const perMs = 60_000;
const bot = { name: 'bot', rateLimit: { max, perMs, reserve: 10 }, paceMs: 0 };
const token = 'a-token';
const start = 1_763_802_000_000;
/** Waiters that do not come are removed after this time, this many per call. */
const graceMs = 2_000;
const batch = 1_000;

/** A token whose slots are all taken: each call was answered 10 ms after the previous one. */
async function takenToken() {
  const base = testRedis();
  const clock = virtualRedis(base.redis, `${base.prefix}:clock`);
  const budget = createBudget({ ...base, redis: clock.redis }, { callTimeoutMs: 1_000 });
  const at = (ms: number) => clock.setTime(start + ms);
  const ask = (waiter: string, purpose: Purpose = 'oneOff') => budget.ask(bot, token, purpose, waiter);
  const answer = (slot: Slot, over: Partial<SlotCall> = {}) => budget.settle(bot, slot, slotCall(resetTo('NEW'), over));
  async function take(waiter: string): Promise<Slot> {
    const grant = await ask(waiter);
    if (!grant.granted) throw new Error(`denied: ${grant.why}`);
    return grant;
  }
  async function waitMs(waiter: string, purpose: Purpose = 'oneOff'): Promise<number> {
    const grant = await ask(waiter, purpose);
    if (grant.granted) throw new Error(`${waiter} was granted a slot`);
    return grant.waitMs;
  }
  /** Many ask one after the other. */
  async function askInTurn(waiters: readonly string[], purpose: Purpose = 'oneOff') {
    const waits: number[] = [];
    for (let from = 0; from < waiters.length; from += 1_000) {
      const some = waiters.slice(from, from + 1_000);
      waits.push(...(await Promise.all(some.map((waiter) => waitMs(waiter, purpose)))));
    }
    return waits;
  }
  for (let i = 0; i < max; i++) {
    at(i * 10 - 5);
    const slot = await take(`early-${i}`);
    at(i * 10);
    await answer(slot);
  }
  at(max * 10);
  const listed = (work: 'one-offs' | 'scheduled' = 'one-offs') =>
    base.redis.zcard(base.keys.waitList(bucketOf(token), work));
  const capacity = (horizonMs: number) => budget.capacity(bot, token, horizonMs);
  return { ...base, at, ask, answer, take, waitMs, askInTurn, listed, capacity };
}

const names = (count: number, name = 'w') => Array.from({ length: count }, (_, i) => `${name}-${i}`);

describe('tens of thousands of waiters of one class', () => {
  const count = 50_000;

  it('get turns in the order in which they came, and slots at those turns', async () => {
    const { at, askInTurn, waitMs, take, listed } = await takenToken();
    const waits = await askInTurn(names(count));
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    // As many rounds of `per` as the limit needs.
    expect(waits.at(-1)).toBeGreaterThan((count / max - 1) * perMs);
    at(max * 10 + waits[0]!);
    expect((await take('w-0')).startsInMs).toBeLessThanOrEqual(250);
    at(max * 10 + waits[1]!);
    await take('w-1');
    expect(await listed()).toBe(count - 2);
    await waitMs('later');
  });

  it('that never come are removed gradually, while slots are still granted', async () => {
    const count = 10_000;
    const { at, askInTurn, take, answer, listed } = await takenToken();
    const waits = await askInTurn(names(count));
    at(max * 10 + waits.at(-1)! + graceMs + 1);
    for (let calls = 1; calls <= count / batch; calls++) {
      await answer(await take(`later-${calls}`));
      expect(await listed()).toBe(count - calls * batch);
    }
  });

  it('that were cancelled block no slot for scheduled work', async () => {
    const { at, askInTurn, ask, waitMs, capacity } = await takenToken();
    await askInTurn(names(10_000));
    // Every slot is free again, but a hundred turns have just come.
    at(max * 10 + 2 * perMs);
    const wait = await waitMs('scheduled', 'scheduledReset');
    expect(wait).toBeLessThanOrEqual(graceMs);
    at(max * 10 + 2 * perMs + wait);
    expect(await ask('scheduled', 'scheduledReset')).toMatchObject({ granted: true });
    const { free, callable } = await capacity(5_000);
    expect(free).toBeGreaterThan(max / 2);
    expect(callable).toBeGreaterThan(max / 2);
  });
});

it('a read-back takes the next slot, before every waiter', async () => {
  const { at, askInTurn, waitMs, take, ask, listed } = await takenToken();
  const waits = await askInTurn(names(50));
  const scheduled = await waitMs('scheduled', 'scheduledReset');
  expect(await waitMs('read', 'readBack')).toBe(waits[0]);
  expect(await listed()).toBe(50);
  at(max * 10 + waits[0]!);
  const read = (await ask('read', 'readBack')) as Slot;
  // The waiters keep their order, one slot later.
  expect((await take('w-0')).startsInMs).toBeGreaterThan(read.startsInMs);
  expect(scheduled).toBeGreaterThan(waits[49]!);
});

it('a read-back takes a free slot although waiters are due', async () => {
  const { at, askInTurn, ask, take } = await takenToken();
  const waits = await askInTurn(names(3));
  at(max * 10 + waits[2]! + 500);
  expect(await ask('read', 'readBack')).toMatchObject({ granted: true });
  await take('w-0');
});

describe('a waiter', () => {
  it('keeps its place although slots come back later than estimated', async () => {
    const { at, take, answer, waitMs, askInTurn, ask } = await takenToken();
    at(perMs * 2);
    const slots = [];
    for (let i = 0; i < max; i++) slots.push(await take(`slow-${i}`));
    // Estimated from earlier calls: these answers take a second longer.
    const [first, second, third] = (await askInTurn(['first', 'second', 'third'])) as [number, number, number];
    expect(first).toBeLessThanOrEqual(third);
    at(perMs * 2 + 1_000);
    for (const slot of slots) await answer(slot, { tookMs: 1_000 });
    at(perMs * 2 + first);
    const again = await waitMs('first');
    expect(again).toBeGreaterThan(800);
    // The others come at their own times, which are before the first one's turn.
    at(perMs * 2 + second);
    await waitMs('second');
    at(perMs * 2 + third);
    await waitMs('third');
    await waitMs('fourth');
    // No slot was taken for a waiter that did not come.
    at(perMs * 2 + first + again);
    expect(await ask('newcomer')).toMatchObject({ granted: true });
    for (const waiter of ['first', 'second', 'third']) expect(await ask(waiter)).toMatchObject({ granted: true });
  });

  it('keeps its place although its turn passed while no call could go', async () => {
    const { at, askInTurn, waitMs, redis, keys, ask } = await takenToken();
    const waits = await askInTurn(names(5));
    await redis.hset(keys.bucket(bucketOf(token)), 'closedUntil', start + 10 * perMs);
    at(max * 10 + waits[4]!);
    expect(await ask('w-4')).toMatchObject({ granted: false, why: 'exhausted' });
    at(9 * perMs);
    await redis.hset(keys.bucket(bucketOf(token)), 'closedUntil', 0);
    // Other calls took every slot at once.
    await redis.hset(keys.bucket(bucketOf(token)), 'limit', max, 'foreign', max, 'foreignUntil', start + 10 * perMs);
    const again = await waitMs('w-3');
    expect(await askInTurn(['w-4', 'w-0'])).toEqual([again, again]);
    const late = await waitMs('newcomer');
    expect(late).toBeGreaterThanOrEqual(again);
  });

  it('that comes after its grace is served like any other', async () => {
    const { at, askInTurn, ask, listed } = await takenToken();
    const [wait] = await askInTurn(['late', 'next']);
    at(max * 10 + wait! + graceMs + 500);
    expect(await ask('late')).toMatchObject({ granted: true });
    expect(await listed()).toBe(0);
  });
});

describe('the capacity', () => {
  it('counts waiters whose turn comes within the horizon, and no others', async () => {
    const { at, askInTurn, capacity } = await takenToken();
    // The first hundred turns are ten milliseconds apart, a minute from now; the next hundred come a minute later.
    await askInTurn(names(3 * max));
    at(perMs - 200);
    const { free: soon } = await capacity(1_000);
    expect(soon).toBe(0);
    at(perMs + max * 10 + graceMs);
    // All slots are free, the first hundred have not come, and no other is to come within five seconds.
    expect(await capacity(5_000)).toMatchObject({ free: max - 10, used: 0, callable: max });
  });

  it('calls no waiter early while waiters come, nor for scheduled work if only the reserve is left', async () => {
    const { at, askInTurn, capacity, take } = await takenToken();
    await askInTurn(names(2 * max));
    expect(await capacity(5_000)).toMatchObject({ callable: 0 });
    const other = await takenToken();
    await other.askInTurn(names(2 * max), 'scheduledReset');
    other.at(3 * perMs - 5_000 - graceMs);
    for (let i = 0; i < max - 10; i++) await other.take(`one-off-${i}`);
    expect((await other.capacity(100)).callable).toBe(0);
    at(max * 10);
    await expect(take('nobody')).rejects.toThrow('denied');
  });
});
