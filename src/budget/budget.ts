/**
 * The requests that a token may still make. A bucket is named by a hash of its token, so every process that uses the
 * same token on the same Redis shares one. Guarantees that no window of the server's, fixed or sliding, ever holds more
 * than `max` of our requests, however long each travels, because a slot is given back only `per` after its answer.
 * Requests that others make with the same token are learnt from the answers' headers, so a refusal for the limit is
 * still possible.
 *
 * An instance's gate (`gate.ts`) is checked in the same step: no call is granted while it is closed.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { InstanceConfig } from '../config/config.ts';
import type { Database } from '../redis/database.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { type CallFailure, type CallOutcome, isFailure } from '../ryze/outcome.ts';
import { policies } from '../ryze/policy.ts';
import { culpritMs, type FailedCall } from './gate.ts';

const acquireLua = loadScript('acquire', import.meta.url);
const settleLua = loadScript('settle', import.meta.url);
const capacityLua = loadScript('capacity', import.meta.url);

/** Why no slot was given, in the order of the numbers that `acquire.lua` returns, from 1. */
const denials = ['budget', 'reserved', 'exhausted', 'probing', 'gate', 'pace', 'blamed', 'share', 'givesWay'] as const;
/**
 * `budget`: the limit is used up, or the rest of it is for waiters ahead. `reserved`: only the reserve for one-offs is
 * left. `exhausted`: the server refused a call for its limit. `probing`: all calls wait for the answer of one. `gate`:
 * the instance is paused. `pace`: the phone's last scheduled reset was too recent. `blamed`: the instance is paused for
 * this group's failure, and another group's call is to show first whose failure it was. `share`: periodic verification has
 * used its share of the limit. `givesWay`: other work waits, and the periodic verification must not.
 */
export type Denial = (typeof denials)[number];

export interface Slot {
  readonly granted: true;
  readonly id: string;
  readonly bucket: string;
  /** Whose call it is, as the gate knows it. */
  readonly caller: Pick<FailedCall, 'group' | 'call'>;
  /** Until the slot is free: a fraction of a second. */
  readonly startsInMs: number;
  /** The call must be sent within this time after the slot was asked for. */
  readonly sendWithinMs: number;
}

type Grant = Slot | { readonly granted: false; readonly why: Denial; readonly waitMs: number };

/** The call that a slot was taken for. */
export interface SlotCall {
  readonly outcome: CallOutcome;
  readonly tookMs: number;
  /** By Redis's clock. */
  readonly startedAt: number;
  /** false: the group is known to fail in this way, so a failure says nothing of its instance. */
  readonly isNews: boolean;
}

export interface Capacity {
  /** Scheduled calls that can be served within the horizon. */
  readonly free: number;
  readonly used: number;
  readonly limit: number;
  /** Requests that others made with this token, as far as known. */
  readonly foreign: number;
  /** Until the server's counter resets after it refused a call. 0: open. */
  readonly closedForMs: number;
  /** Waiters that could have a slot now, before their turn: those ahead of them did not come. */
  readonly callable: number;
  /** Periodic verifications that their share of the limit allows: now, or within the horizon if that is longer than `per`. */
  readonly verifications: number;
  /** Of a share that is spread evenly, the verifications within the horizon. */
  readonly verificationsSpread: number;
}

/** What the budget needs to know of an instance. */
export type BudgetedInstance = Pick<InstanceConfig, 'name' | 'rateLimit' | 'paceMs'>;

/**
 * What a slot is for: scheduled calls leave the reserve alone, only scheduled resets keep the pace, and a read-back comes
 * before every other call. A periodic verification also keeps to its share of the limit, and gives way to everything that
 * waits for a slot. If something waits all the time, a tenth of its share is left.
 */
export type Purpose = 'oneOff' | 'readBack' | 'scheduledReset' | 'scheduledRead' | 'verification';

const classes = {
  oneOff: 'oneOff',
  readBack: 'readBack',
  scheduledReset: 'scheduled',
  scheduledRead: 'scheduled',
  verification: 'verification',
} as const satisfies Record<Purpose, string>;

const waitLists = ['one-offs', 'scheduled'] as const;

/** Between taking a slot and sending its call: a process that was frozen for longer must ask again. */
const sendWithinMs = 5_000;
/** A probe without an answer within this time no longer blocks other calls, whatever the state of its process. */
const probeLeaseMs = 10_000;

/** As in a file that does not say. */
const defaultShare = 0.1;

/** Names a token's bucket without revealing the token. */
export function bucketOf(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 16);
}

export type Budget = ReturnType<typeof createBudget>;

export interface BudgetOptions {
  /** A call without an answer has certainly been counted by then. */
  readonly callTimeoutMs: number;
  /** Of each token's limit, for periodic verifications. */
  readonly verifyShare?: number;
  /** Called for each denial. */
  readonly onDenied?: (instance: string, why: Denial) => void;
}

export function createBudget(db: Database, { callTimeoutMs, verifyShare = defaultShare, onDenied }: BudgetOptions) {
  const { redis, keys } = db;
  /** The callers of this process that wait for a probe's answer. */
  const sleepers = new Set<() => void>();

  /** Until the time is over or a call of this process has ended, which may have been the probe. */
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

  /**
   * Takes a slot. `waiter` names this work in the wait list, the same each time it asks. `caller`: whose call it is, as
   * the gate knows it.
   */
  async function ask(
    { name, rateLimit, paceMs }: BudgetedInstance,
    token: string,
    purpose: Purpose,
    waiter: string,
    caller: Slot['caller'] = {
      group: waiter,
      call: purpose === 'scheduledRead' || purpose === 'verification' ? 'read' : 'reset',
    },
  ): Promise<Grant> {
    const bucket = bucketOf(token);
    const { max, perMs, reserve } = rateLimit;
    const id = randomUUID();
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
        keys.waitLists,
        keys.verificationSlots(bucket),
        keys.verificationGivesWay(bucket),
      ],
      [
        id,
        waiter,
        classes[purpose],
        max,
        perMs,
        reserve,
        slotTtlMs(callTimeoutMs, perMs),
        purpose === 'scheduledReset' ? paceMs : 0,
        probeLeaseMs,
        caller.group,
        bucket,
        verifyShare,
      ],
    )) as [number, number];
    if (verdict === 0) return { granted: true, id, bucket, caller, startsInMs: ms, sendWithinMs };
    const why = denials[verdict - 1] ?? 'budget';
    onDenied?.(name, why);
    return { granted: false, why, waitMs: ms };
  }

  return {
    ask,

    /** Like `ask`, but while a probe is out, sleeps until its likely answer and asks again. */
    async acquire(...args: Parameters<typeof ask>): Promise<Grant> {
      for (;;) {
        const grant = await ask(...args);
        if (grant.granted || grant.why !== 'probing') return grant;
        await sleep(grant.waitMs);
      }
    },

    /**
     * Settles the slot by how its call ended, and learns from it. `call`: null if no call was made. Returns the requests
     * that others made with this token, as far as the answer shows; what the instance's gate was closed for, if this
     * answer opened it; and the failure that may be the instance's, for the caller to have judged (`judgeFailure`) or to
     * open the gate (`openGate`): until then no other call may probe.
     */
    async settle(
      instance: BudgetedInstance,
      slot: Slot,
      call: SlotCall | null,
    ): Promise<{ readonly foreign: number; readonly opened: string | null; readonly evidence: FailedCall | null }> {
      const outcome = call?.outcome ?? null;
      const failure = outcome !== null && isFailure(outcome) ? outcome : null;
      const rateLimit = outcome?.rateLimit ?? null;
      const retryAfterMs = failure?.retryAfterMs ?? null;
      const ending = endingOf(outcome);
      const evidence = call !== null && failure !== null ? evidenceOf(slot, call, failure) : null;
      const shows = evidence !== null ? 'trouble' : outcome !== null && failure === null ? 'works' : 'unclear';
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
          keys.verificationSlots(slot.bucket),
        ],
        [
          slot.id,
          ending,
          instance.rateLimit.perMs,
          Math.ceil(call?.tookMs ?? 0),
          rateLimit?.limit ?? '',
          rateLimit?.remaining ?? '',
          rateLimit === null ? '' : Math.ceil(rateLimit.resetInMs),
          failure !== null && policies[failure.code].scope === 'token' ? 1 : 0,
          shows,
          slotTtlMs(callTimeoutMs, instance.rateLimit.perMs),
          slot.caller.group,
          slot.caller.call,
          culpritMs,
          retryAfterMs === null ? '' : Math.ceil(retryAfterMs),
        ],
      )) as [number, string];
      // After trouble the gate is closed first.
      if (ending !== 'answered' || shows !== 'trouble') for (const wake of sleepers) wake();
      return { foreign, opened: opened === '' ? null : opened, evidence };
    },

    capacity: (instance: BudgetedInstance, token: string, horizonMs: number) =>
      capacityOfBucket(db, bucketOf(token), instance, horizonMs, verifyShare),
  };
}

/** What becomes of the slot: an unanswered call may have been counted, one that was never sent was not. */
function endingOf(outcome: CallOutcome | null): 'answered' | 'silent' | 'refunded' {
  if (outcome === null || outcome.kind === 'notSent') return 'refunded';
  return isFailure(outcome) && outcome.httpStatus === null ? 'silent' : 'answered';
}

/** null: the failure is known to be the group's, is the token's, or comes of a call that the API does not implement. */
function evidenceOf({ id, caller }: Slot, { startedAt, isNews }: SlotCall, failure: CallFailure): FailedCall | null {
  const { code, final } = failure;
  if (!isNews || final === true || policies[code].scope === 'token') return null;
  return { ...caller, code, startedAt, slot: id };
}

/** How long a slot without an answer counts. */
export function slotTtlMs(callTimeoutMs: number, perMs: number): number {
  return sendWithinMs + callTimeoutMs + perMs;
}

/** Of both wait lists: list, lag, list, lag. */
export function waitListKeys(keys: Keys, bucket: string): string[] {
  return waitLists.flatMap((list) => [keys.waitList(bucket, list), keys.waitListLag(bucket, list)]);
}

/** `capacity` for callers that know the bucket's name but not its token. */
export async function capacityOfBucket(
  { redis, keys }: Database,
  bucket: string,
  { rateLimit }: BudgetedInstance,
  horizonMs: number,
  verifyShare = defaultShare,
): Promise<Capacity> {
  const [free, used, limit, foreign, closedForMs, callable, verifications, verificationsSpread] = (await runScript(
    redis,
    capacityLua,
    [keys.slots(bucket), keys.bucket(bucket), ...waitListKeys(keys, bucket), keys.verificationSlots(bucket)],
    [rateLimit.max, rateLimit.reserve, rateLimit.perMs, horizonMs, verifyShare],
  )) as [number, number, number, number, number, number, number, number];
  return { free, used, limit, foreign, closedForMs, callable, verifications, verificationsSpread };
}
