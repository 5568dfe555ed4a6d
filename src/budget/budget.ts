/**
 * The requests a token may still make. A bucket is named by a hash of the token, so everybody who uses the same token
 * on the same Redis shares one, in whatever process. Guarantees that no window of the server's, fixed or sliding, ever
 * holds more than `max` of our requests, however long each travels, because a slot is given back only `per` after its
 * answer. Requests made by others with the same token are learnt from the answers' headers; they can still surprise us.
 *
 * An instance's gate (`gate.ts`) is checked in the same step: while it is closed no call is granted.
 */

import { createHash, randomUUID } from 'node:crypto';
import type { InstanceConfig } from '../config/config.ts';
import type { Database } from '../redis/database.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import type { RateLimitReading } from '../ryze/outcome.ts';
import { culpritMs, type Witness } from './gate.ts';

const acquireLua = loadScript('acquire', import.meta.url);
const settleLua = loadScript('settle', import.meta.url);
const capacityLua = loadScript('capacity', import.meta.url);

/** Why no slot was given, in the order of the numbers that `acquire.lua` returns from 1 on. */
const denials = ['budget', 'reserved', 'exhausted', 'probing', 'gate', 'pace', 'blamed'] as const;
/**
 * `budget`: the limit is used up, or what is left of it is others' turn; `reserved`: only what is kept for one-offs is
 * left; `exhausted`: the server refused a call for its limit; `probing`: one call is out that all others wait for;
 * `gate`: the instance is paused; `pace`: the phone's last scheduled reset was too recent; `blamed`: the instance is paused
 * for this group's failure, and another group's call is to show first whose failure it was.
 */
export type Denial = (typeof denials)[number];

export interface Slot {
  readonly granted: true;
  readonly id: string;
  readonly bucket: string;
  readonly witness: Witness;
  /** From this time on the slot is free: a fraction of a second. */
  readonly startsInMs: number;
  /** The call must be sent before this much time has passed since the slot was asked for. */
  readonly sendWithinMs: number;
}

export type Grant = Slot | { readonly granted: false; readonly why: Denial; readonly waitMs: number };

/**
 * What a call shows of its instance. `works`: the gate's reason may be over. `trouble`: the caller has the failure judged
 * (`judgeFailure`) or opens the gate (`openGate`); until then nobody else may probe.
 */
export type Shown = 'works' | 'trouble' | 'unclear';

/** How the call ended that the slot was for. */
export type Settlement =
  /** It was never sent, or never left. */
  | { readonly ending: 'refunded'; readonly instance?: Shown }
  /** There was no answer. */
  | { readonly ending: 'silent'; readonly instance?: Shown }
  | {
      readonly ending: 'answered';
      readonly tookMs: number;
      readonly rateLimit: RateLimitReading | null;
      /** The server refused the call because the limit is used up. */
      readonly exhausted: boolean;
      /** When the server wants to be asked again; absent: it did not say. */
      readonly retryAfterMs?: number;
      readonly instance: Shown;
    };

/** What the call's answer told of the token and of the instance. */
export interface Learnt {
  /** Requests that others made with this token, as far as it shows. */
  readonly foreign: number;
  /** What the instance's gate was closed for, where this answer opened it. */
  readonly opened: string | null;
}

export interface Capacity {
  /** Scheduled calls that can be served within the horizon. */
  readonly free: number;
  readonly used: number;
  readonly limit: number;
  /** Requests that others made with this token, as far as known. */
  readonly foreign: number;
  /** Until the server counts anew, after it refused a call; 0: open. */
  readonly closedForMs: number;
  /** Waiters that could have a slot now, though they were told to come later: those before them did not come. */
  readonly callable: number;
}

/** What of an instance the budget needs to know. */
export type BudgetedInstance = Pick<InstanceConfig, 'name' | 'rateLimit' | 'paceMs'>;

/** What a slot is wanted for: only one-offs may use the reserve, only scheduled resets keep the pace. */
export type Purpose = 'oneOff' | 'scheduledReset' | 'scheduledRead';

export interface Budget {
  /** Asks once. `waiter` is the same each time that the same work asks: by it, it keeps its place on the wait list. */
  ask(instance: BudgetedInstance, token: string, purpose: Purpose, waiter: string, witness?: Witness): Promise<Grant>;
  /** Asks, and while a probe is out, sleeps until its likely answer, then asks again. */
  acquire(
    instance: BudgetedInstance,
    token: string,
    purpose: Purpose,
    waiter: string,
    witness?: Witness,
  ): Promise<Grant>;
  /** Reports the call's end. */
  settle(instance: BudgetedInstance, slot: Slot, settlement: Settlement): Promise<Learnt>;
  capacity(instance: BudgetedInstance, token: string, horizonMs: number): Promise<Capacity>;
}

const works = ['one-offs', 'scheduled'] as const;

/** Between taking a slot and sending its call: a process that was frozen for longer must ask again. */
const sendWithinMs = 5_000;
/** A first call that brings no answer within this time holds up nobody any longer, whatever became of its process. */
const probeLeaseMs = 10_000;

const buckets = new Map<string, string>();

/** Names a token's bucket without telling the token. */
export function bucketOf(token: string): string {
  const known = buckets.get(token);
  if (known !== undefined) return known;
  const bucket = createHash('sha256').update(token).digest('hex').slice(0, 16);
  buckets.set(token, bucket);
  return bucket;
}

export interface BudgetOptions {
  /** After this long a call without an answer has certainly been counted. */
  readonly callTimeoutMs: number;
  /** Told of every time that somebody asked in vain. */
  readonly onDenied?: (instance: string, why: Denial) => void;
}

export function createBudget(db: Database, { callTimeoutMs, onDenied }: BudgetOptions): Budget {
  const { redis, keys } = db;
  /** Who waits for a probe's answer in this process. */
  const sleepers = new Set<() => void>();

  /** For that time, or until a call of this process has ended: it may have been the probe. */
  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      sleepers.add(wake);
    });
  }

  /** For this long a slot without an answer counts. */
  const holdMs = (perMs: number) => slotHoldMs(callTimeoutMs, perMs);

  const ask: Budget['ask'] = async ({ name, rateLimit, paceMs }, token, purpose, waiter, witness) => {
    const bucket = bucketOf(token);
    const { max, perMs, reserve } = rateLimit;
    const id = randomUUID();
    const known = witness ?? { group: waiter, call: purpose === 'scheduledRead' ? 'read' : 'reset' };
    const [verdict, ms] = (await runScript(
      redis,
      acquireLua,
      [
        keys.slots(bucket),
        keys.bucket(bucket),
        ...waitListKeys(keys, bucket),
        keys.gate(name),
        keys.pace(name),
        keys.blamed(name),
        keys.due(name),
      ],
      [
        id,
        waiter,
        purpose === 'oneOff' ? 0 : 1,
        max,
        perMs,
        reserve,
        holdMs(perMs),
        purpose === 'scheduledReset' ? paceMs : 0,
        probeLeaseMs,
        known.group,
      ],
    )) as [number, number];
    if (verdict === 0) return { granted: true, id, bucket, witness: known, startsInMs: ms, sendWithinMs };
    const why = denials[verdict - 1] ?? 'budget';
    onDenied?.(name, why);
    return { granted: false, why, waitMs: ms };
  };

  return {
    ask,

    async acquire(instance, token, purpose, waiter, witness) {
      for (;;) {
        const grant = await ask(instance, token, purpose, waiter, witness);
        if (grant.granted || grant.why !== 'probing') return grant;
        await sleep(grant.waitMs);
      }
    },

    async settle(instance, slot, settlement) {
      const answered = settlement.ending === 'answered' ? settlement : null;
      const reading = answered?.rateLimit ?? null;
      const [foreign, opened] = (await runScript(
        redis,
        settleLua,
        [
          keys.slots(slot.bucket),
          keys.bucket(slot.bucket),
          keys.gate(instance.name),
          keys.row(instance.name, 'reset'),
          keys.row(instance.name, 'read'),
          keys.blamed(instance.name),
          keys.culprits(instance.name),
        ],
        [
          slot.id,
          settlement.ending,
          instance.rateLimit.perMs,
          Math.ceil(answered?.tookMs ?? 0),
          reading?.limit ?? '',
          reading?.remaining ?? '',
          reading === null ? '' : Math.ceil(reading.resetInMs),
          answered?.exhausted === true ? 1 : 0,
          settlement.instance ?? 'unclear',
          holdMs(instance.rateLimit.perMs),
          slot.witness.group,
          slot.witness.call,
          culpritMs,
          answered?.retryAfterMs === undefined ? '' : Math.ceil(answered.retryAfterMs),
        ],
      )) as [number, string];
      // After trouble the gate is closed first.
      if (answered?.instance !== 'trouble') for (const wake of sleepers) wake();
      return { foreign, opened: opened === '' ? null : opened };
    },

    capacity: (instance, token, horizonMs) => capacityOfBucket(db, bucketOf(token), instance, horizonMs),
  };
}

/** For how long a slot without an answer counts. */
export function slotHoldMs(callTimeoutMs: number, perMs: number): number {
  return sendWithinMs + callTimeoutMs + perMs;
}

/** Of both classes: list, lag, list, lag. */
export function waitListKeys(keys: Keys, bucket: string): string[] {
  return works.flatMap((work) => [keys.waitList(bucket, work), keys.waitListLag(bucket, work)]);
}

/** The same for whoever knows the bucket's name but not the token. */
export async function capacityOfBucket(
  { redis, keys }: Database,
  bucket: string,
  { rateLimit }: BudgetedInstance,
  horizonMs: number,
): Promise<Capacity> {
  const [free, used, limit, foreign, closedForMs, callable] = (await runScript(
    redis,
    capacityLua,
    [keys.slots(bucket), keys.bucket(bucket), ...waitListKeys(keys, bucket)],
    [rateLimit.max, rateLimit.reserve, rateLimit.perMs, horizonMs],
  )) as [number, number, number, number, number, number];
  return { free, used, limit, foreign, closedForMs, callable };
}
