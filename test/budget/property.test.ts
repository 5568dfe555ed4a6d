/**
 * The budget's promise, against arbitrary arrivals, latencies, lost answers, dead processes and both kinds of window,
 * on a clock that the test moves: the real scripts on a real Redis, and a model of the server that counts each request
 * at any moment between its sending and its answer.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createLimiter, type WindowKind } from '../../dev/standin/limiter.ts';
import { type Budget, createBudget, type Purpose, type Slot } from '../../src/budget/budget.ts';
import { resetTo, silent, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const max = 5;
const perMs = 1_000;
const timeoutMs = 800;
const bot = { name: 'bot', rateLimit: { max, perMs, reserve: 1 }, paceMs: 0 };

const call = fc.record({
  /** After the arrival before it. */
  afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
  latencyMs: fc.integer({ min: 1, max: 1_200 }),
  /** When the server counts it, as a share of the latency. */
  countedAt: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.constantFrom('answered', 'answered', 'answered', 'answered', 'died', 'neverSent'),
  purpose: fc.constantFrom<Purpose>('oneOff', 'oneOff', 'scheduledReset', 'scheduledReset', 'readBack'),
});
const scenario = fc.record({
  calls: fc.array(call, { minLength: 5, maxLength: 40 }),
  window: fc.constantFrom<WindowKind>('sliding', 'fixed'),
  /** Where the server's fixed windows begin. */
  offsetMs: fc.integer({ min: 0, max: perMs }),
  processes: fc.integer({ min: 1, max: 3 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
type Call = Scenario['calls'][number];

/** When the server counted our requests, and how many it refused. `rule` may be broken on purpose. */
async function play({ calls, window, offsetMs, processes }: Scenario, rule: 'kept' | 'broken') {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  const budgets = Array.from({ length: processes }, () =>
    createBudget({ redis: clock.redis, prefix, keys }, { callTimeoutMs: timeoutMs }),
  );
  const server = createLimiter({ window, perMs, limit: max });
  const counted: number[] = [];
  let refused = 0;
  let denied = 0;
  let events: { at: number; run: (now: number) => Promise<void> | void }[] = [];
  const later = (at: number, run: (now: number) => Promise<void> | void) => {
    events.push({ at: Math.ceil(at), run });
  };

  async function arrive(one: Call, budget: Budget, now: number, tries: number): Promise<void> {
    const grant = await budget.ask(bot, 'token', one.purpose, String(calls.indexOf(one)));
    if (!grant.granted) {
      // While a probe is out, callers are to ask again after its answer.
      if (grant.why !== 'probing') denied += 1;
      // Waiters poll for the end of a dead probe: less often here, or the test would spend most of its time on that.
      const waitMs = grant.why === 'probing' ? 250 : grant.waitMs;
      if (tries < 500) later(now + waitMs, (then) => arrive(one, budget, then, tries + 1));
      return;
    }
    if (one.end === 'neverSent') return void (await budget.settle(bot, grant, null));
    if (grant.startsInMs > 0) return later(now + grant.startsInMs, (then) => send(one, budget, grant, then));
    await send(one, budget, grant, now);
  }
  async function send(one: Call, budget: Budget, grant: Slot, now: number): Promise<void> {
    // `per` after it was sent, as in libraries that count the starts of jobs.
    if (rule === 'broken') await answer(budget, grant, 0, now);
    later(now + Math.min(one.latencyMs, timeoutMs) * one.countedAt, (at) => {
      const { allowed } = server.count('token', at + offsetMs);
      if (allowed) counted.push(at);
      else refused += 1;
    });
    if (one.end === 'died' || rule === 'broken') return;
    if (one.latencyMs > timeoutMs) return later(now + timeoutMs, () => silence(budget, grant));
    later(now + one.latencyMs, (at) => answer(budget, grant, one.latencyMs, at));
  }
  async function silence(budget: Budget, slot: Slot): Promise<void> {
    await budget.settle(bot, slot, slotCall(silent));
  }
  async function answer(budget: Budget, slot: Slot, tookMs: number, now: number): Promise<void> {
    const { limit, remaining, resetAt } = server.peek('token', now + offsetMs);
    const rateLimit = { limit, remaining, resetInMs: resetAt - now - offsetMs };
    await budget.settle(bot, slot, slotCall({ ...resetTo('NEW'), rateLimit }, { tookMs }));
  }

  let start = 1_763_802_000_000;
  for (const [i, one] of calls.entries()) {
    start += one.afterMs;
    const budget = budgets[i % processes] as Budget;
    later(start, (now) => arrive(one, budget, now, 0));
  }
  while (events.length > 0) {
    events = events.sort((a, b) => a.at - b.at);
    const [next, ...rest] = events;
    events = rest;
    if (next === undefined) break;
    clock.setTime(next.at);
    await next.run(next.at);
  }
  return { counted, refused, denied, sendable: calls.filter(({ end }) => end !== 'neverSent').length };
}

function maxInAnyWindow(times: number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.max(0, ...sorted.map((from) => sorted.filter((at) => at >= from && at < from + perMs).length));
}

it('no window of the server ever exceeds the limit, and every call is made', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (drawn) => {
      const { counted, refused, sendable } = await play(drawn, 'kept');
      expect(maxInAnyWindow(counted)).toBeLessThanOrEqual(max);
      expect(refused).toBe(0);
      expect(counted).toHaveLength(sendable);
    }),
    { numRuns: 60 },
  );
}, 120_000);

it('few waiters ask without success, however many ask at once', async () => {
  const backlog = fc.record({
    calls: fc.array(
      fc.record({
        afterMs: fc.constant(0),
        /** Up to a twenty-fifth of the window: a real one is 60 s. */
        latencyMs: fc.integer({ min: 1, max: 40 }),
        countedAt: fc.constant(0.5),
        end: fc.constant('answered' as const),
        purpose: fc.constantFrom<Purpose>('oneOff', 'scheduledReset'),
      }),
      { minLength: 40, maxLength: 80 },
    ),
    window: fc.constantFrom<WindowKind>('sliding', 'fixed'),
    offsetMs: fc.constant(0),
    processes: fc.integer({ min: 1, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(backlog, async (drawn) => {
      const { denied, sendable } = await play(drawn, 'kept');
      expect(denied / sendable).toBeLessThanOrEqual(2);
    }),
    { numRuns: 15 },
  );
}, 120_000);

it('finds a window over the limit if slots are given back `per` after they are sent', async () => {
  const broken = fc.asyncProperty(scenario, async (drawn) => {
    const { counted, refused } = await play(drawn, 'broken');
    expect(refused).toBe(0);
    expect(maxInAnyWindow(counted)).toBeLessThanOrEqual(max);
  });
  // It ends at the first such window, usually within fifty runs.
  const found = await fc.check(broken, { numRuns: 1_000, endOnFailure: true });
  expect(found.failed).toBe(true);
}, 120_000);
