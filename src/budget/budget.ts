/**
 * The requests a token may still make. A bucket is named by a hash of the token, so everybody who uses the same token
 * on the same Redis shares one, in whatever process. Guarantees that no window of the server's, fixed or sliding, ever
 * holds more than `max` of our requests, however long each travels, because a slot is given back only `per` after its
 * answer. Requests made by others with the same token are learnt from the answers' headers; they can still surprise us.
 *
 * An instance's gate is checked in the same step: while it is closed (`closeGate`) no call is granted.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { InstanceConfig } from '../config/config.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import type { RateLimitReading } from '../ryze/outcome.ts';

const acquireLua = loadScript('acquire', import.meta.url);
const settleLua = loadScript('settle', import.meta.url);
const capacityLua = loadScript('capacity', import.meta.url);

/** Why no slot was given, in the order of the numbers that `acquire.lua` returns from 1 on. */
const denials = ['budget', 'reserved', 'gate', 'pace', 'probing'] as const;
/**
 * `budget`: the limit is used up; `reserved`: only what is kept for one-offs is left; `gate`: the instance is left
 * alone; `pace`: the number's last scheduled reset was too recent; `probing`: the first call is still being learnt from.
 */
export type Denial = (typeof denials)[number];

export interface Slot {
  readonly granted: true;
  readonly id: string;
  readonly bucket: string;
  /** The call must be sent before this much time has passed since the slot was asked for. */
  readonly sendWithinMs: number;
}

export type Grant = Slot | { readonly granted: false; readonly why: Denial; readonly waitMs: number };

/** How the call ended that the slot was for. */
export type Settlement =
  | { readonly ending: 'refunded' }
  | { readonly ending: 'silent' }
  | {
      readonly ending: 'answered';
      readonly tookMs: number;
      readonly rateLimit: RateLimitReading | null;
      /** The server refused the call because the limit is used up. */
      readonly exhausted: boolean;
      /**
       * What the answer shows of the instance. `works`: an end to whatever its gate was closed for. `trouble`: the
       * gate will be closed (`closeGate`) or opened (`openGate`) by the caller; until then nobody else may try.
       */
      readonly instance: 'works' | 'trouble' | 'unclear';
    };

export interface Capacity {
  /** Scheduled calls that can be served within the horizon. */
  readonly free: number;
  readonly used: number;
  readonly limit: number;
  /** Requests that others made with this token, as far as known. */
  readonly foreign: number;
  /** Until the server counts anew, after it refused a call; 0: open. */
  readonly closedForMs: number;
}

/** What of an instance the budget needs to know. */
export type BudgetedInstance = Pick<InstanceConfig, 'name' | 'rateLimit' | 'paceMs'>;

/** What a slot is wanted for: only one-offs may use the reserve, only scheduled resets keep the pace. */
export type Purpose = 'oneOff' | 'scheduledReset' | 'scheduledRead';

export interface Budget {
  acquire(instance: BudgetedInstance, token: string, purpose: Purpose): Promise<Grant>;
  /** Reports the call's end; returns how many requests others made, as far as its answer shows. */
  settle(instance: BudgetedInstance, slot: Slot, settlement: Settlement): Promise<number>;
  capacity(instance: BudgetedInstance, token: string, horizonMs: number): Promise<Capacity>;
}

/** Between taking a slot and sending its call: a process that was frozen for longer must ask again. */
const sendWithinMs = 5_000;
/** A first call that brings no answer within this time holds up nobody any longer, whatever became of its process. */
const probeLeaseMs = 10_000;

/** Names a token's bucket without telling the token. */
export function bucketOf(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 16);
}

/** `callTimeoutMs`: after this long a call without an answer has certainly been counted. */
export function createBudget(redis: RedisClient, keys: Keys, callTimeoutMs: number): Budget {
  return {
    async acquire(instance, token, purpose) {
      const { max, perMs, reserve } = instance.rateLimit;
      const id = randomUUID();
      const bucket = bucketOf(token);
      const holdMs = sendWithinMs + callTimeoutMs + perMs;
      const [verdict, waitMs] = (await runScript(
        redis,
        acquireLua,
        [keys.slots(bucket), keys.bucket(bucket), keys.gate(instance.name), keys.pace(instance.name)],
        [
          id,
          purpose === 'oneOff' ? 0 : 1,
          max,
          reserve,
          holdMs,
          purpose === 'scheduledReset' ? instance.paceMs : 0,
          probeLeaseMs,
        ],
      )) as [number, number];
      if (verdict === 0) return { granted: true, id, bucket, sendWithinMs };
      return { granted: false, why: denials[verdict - 1] ?? 'budget', waitMs };
    },

    async settle(instance, slot, settlement) {
      const answered = settlement.ending === 'answered' ? settlement : null;
      const reading = answered?.rateLimit ?? null;
      const foreign = await runScript(
        redis,
        settleLua,
        [keys.slots(slot.bucket), keys.bucket(slot.bucket), keys.gate(instance.name)],
        [
          slot.id,
          settlement.ending,
          instance.rateLimit.perMs,
          Math.ceil(answered?.tookMs ?? 0),
          reading?.limit ?? '',
          reading?.remaining ?? '',
          reading === null ? '' : Math.ceil(reading.resetInMs),
          answered?.exhausted === true ? 1 : 0,
          answered?.instance ?? 'unclear',
        ],
      );
      return Number(foreign);
    },

    capacity: (instance, token, horizonMs) => capacityOfBucket(redis, keys, bucketOf(token), instance, horizonMs),
  };
}

/** The same for whoever knows the bucket's name but not the token. */
export async function capacityOfBucket(
  redis: RedisClient,
  keys: Keys,
  bucket: string,
  { rateLimit }: BudgetedInstance,
  horizonMs: number,
): Promise<Capacity> {
  const [free, used, limit, foreign, closedForMs] = (await runScript(
    redis,
    capacityLua,
    [keys.slots(bucket), keys.bucket(bucket)],
    [rateLimit.max, rateLimit.reserve, rateLimit.perMs, horizonMs],
  )) as [number, number, number, number, number];
  return { free, used, limit, foreign, closedForMs };
}
