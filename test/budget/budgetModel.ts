/**
 * Plays calls of several processes against a model of the server, on a clock that the test moves: the real scripts on a
 * real Redis, and a server that counts each request at any moment between its sending and its answer.
 */
import fc from 'fast-check';
import { createLimiter, type WindowKind } from '../../dev/standin/limiter.ts';
import { createBudget, type Purpose, type Slot } from '../../src/budget/budget.ts';
import { resetTo, silent, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

/** Of the server. */
export const max = 5;
export const perMs = 1_000;
const timeoutMs = 800;

/** What the file says. */
export interface Settings {
  readonly max: number;
  readonly reserve: number;
  readonly perMs: number;
  readonly share: number;
}
export const settings: Settings = { max, reserve: 1, perMs, share: 0.1 };

const call = fc.record({
  /** After the arrival before it. */
  afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
  latencyMs: fc.integer({ min: 1, max: 1_200 }),
  /** When the server counts it, as a share of the latency. */
  countedAt: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.constantFrom('answered', 'answered', 'answered', 'answered', 'died', 'neverSent'),
  purpose: fc.constantFrom<Purpose>(
    ...(['oneOff', 'oneOff', 'scheduledReset', 'scheduledReset', 'scheduledRead', 'readBack'] as const),
    ...(['verification', 'verification', 'verification'] as const),
  ),
});
/** The server's limit is right for each of them. A share of 10 % allows one read in two windows or more. */
const drawnSettings = fc.record<Settings>({
  max: fc.integer({ min: 1, max }),
  reserve: fc.integer({ min: 0, max: 2 }),
  perMs: fc.constantFrom(perMs, 2 * perMs),
  share: fc.constantFrom(0.1, 0.2, 0.4, 1),
});
export const scenario = fc.record({
  calls: fc.array(call, { minLength: 5, maxLength: 40 }),
  window: fc.constantFrom<WindowKind>('sliding', 'fixed'),
  /** Where the server's fixed windows begin. */
  offsetMs: fc.integer({ min: 0, max: perMs }),
  processes: fc.integer({ min: 1, max: 3 }),
  /** Each process sees an edit at a time of its own. */
  edits: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 2_000 }), process: fc.nat(2), to: drawnSettings }), {
    maxLength: 6,
  }),
});
export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
export type Call = Scenario['calls'][number];

/** A request that the server counted. */
export interface Counted {
  readonly at: number;
  readonly purpose: Purpose;
  /** Order of the grants, by Redis. */
  readonly order: number;
  readonly grantedAt: number;
  /** In force in the process that took the slot. */
  readonly by: Settings;
  /** Calls of other purposes than verification that had been denied by then, and waited. */
  readonly othersWaiting: number;
}

export interface Play {
  readonly counted: readonly Counted[];
  readonly refused: number;
  readonly denied: number;
  readonly sendable: number;
}

/** `rule` may be broken on purpose. */
export async function play(
  { calls, window, offsetMs, processes, edits }: Scenario,
  { rule = 'kept', from = settings }: { readonly rule?: 'kept' | 'broken'; readonly from?: Settings } = {},
): Promise<Play> {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  const db = { redis: clock.redis, prefix, keys };
  const open = (to: Settings) => {
    const bot = { name: 'bot', rateLimit: { max: to.max, perMs: to.perMs, reserve: Math.min(to.reserve, to.max - 1) } };
    return {
      settings: to,
      bot: { ...bot, paceMs: 0 },
      budget: createBudget(db, { callTimeoutMs: timeoutMs, verifyShare: to.share }),
    };
  };
  type Process = ReturnType<typeof open>;
  const running = Array.from({ length: processes }, () => open(from));
  const server = createLimiter({ window, perMs, limit: max });
  const counted: Counted[] = [];
  const waiting = new Set<Call>();
  let refused = 0;
  let denied = 0;
  let grants = 0;
  let events: { at: number; run: (now: number) => Promise<void> | void }[] = [];
  const later = (at: number, run: (now: number) => Promise<void> | void) => {
    events.push({ at: Math.ceil(at), run });
  };

  async function arrive(one: Call, which: number, now: number, tries: number): Promise<void> {
    const by = running[which] as Process;
    const grant = await by.budget.ask(by.bot, 'token', one.purpose, String(calls.indexOf(one)));
    if (!grant.granted) {
      // While a probe is out, callers are to ask again after its answer.
      if (grant.why !== 'probing') denied += 1;
      if (grant.why !== 'probing' && one.purpose !== 'verification') waiting.add(one);
      // Waiters poll for the end of a dead probe or of a crowd: less often here, or the test would only do that.
      const shortestMs = { probing: 250, givesWay: 10_000 }[String(grant.why)] ?? 0;
      const waitMs = Math.max(grant.waitMs, shortestMs);
      if (tries < 500) later(now + waitMs, (then) => arrive(one, which, then, tries + 1));
      return;
    }
    waiting.delete(one);
    if (one.end === 'neverSent') return void (await by.budget.settle(by.bot, grant, null));
    const of = { purpose: one.purpose, order: grants++, grantedAt: now, by: by.settings, othersWaiting: waiting.size };
    if (grant.startsInMs > 0) return later(now + grant.startsInMs, (then) => send(one, by, grant, of, then));
    await send(one, by, grant, of, now);
  }
  async function send(one: Call, by: Process, grant: Slot, of: Omit<Counted, 'at'>, now: number): Promise<void> {
    // `per` after it was sent, as in libraries that count the starts of jobs.
    if (rule === 'broken') await answer(by, grant, 0, now);
    later(now + Math.min(one.latencyMs, timeoutMs) * one.countedAt, (at) => {
      const { allowed } = server.count('token', at + offsetMs);
      if (allowed) counted.push({ at, ...of });
      else refused += 1;
    });
    if (one.end === 'died' || rule === 'broken') return;
    if (one.latencyMs > timeoutMs) return later(now + timeoutMs, () => silence(by, grant));
    later(now + one.latencyMs, (at) => answer(by, grant, one.latencyMs, at));
  }
  async function silence({ budget, bot }: Process, slot: Slot): Promise<void> {
    await budget.settle(bot, slot, slotCall(silent));
  }
  async function answer({ budget, bot }: Process, slot: Slot, tookMs: number, now: number): Promise<void> {
    const { limit, remaining, resetAt } = server.peek('token', now + offsetMs);
    const rateLimit = { limit, remaining, resetInMs: resetAt - now - offsetMs };
    await budget.settle(bot, slot, slotCall({ ...resetTo('NEW'), rateLimit }, { tookMs }));
  }

  const start = 1_763_802_000_000;
  let at = start;
  for (const [i, one] of calls.entries()) {
    at += one.afterMs;
    later(at, (now) => arrive(one, i % processes, now, 0));
  }
  at = start;
  for (const { afterMs, process, to } of edits) {
    at += afterMs;
    later(at, () => {
      running[process % processes] = open(to);
    });
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

/** The requests of each window of the server's that begins with one. */
export function windows(counted: readonly Counted[]): Counted[][] {
  return counted.map(({ at: from }) => counted.filter(({ at }) => at >= from && at < from + perMs));
}

/** The settings by which the last of these was granted. */
export function lastSettings(requests: readonly Counted[]): Settings {
  return requests.reduce((last, one) => (one.order > last.order ? one : last)).by;
}

/** Verifications that a share allows at once. */
export function readsOf({ max: limit, share }: Settings): number {
  return Math.max(Math.floor(limit * share + 1e-9), 1);
}
