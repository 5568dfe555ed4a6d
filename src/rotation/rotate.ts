/**
 * Carries one piece of work for one group as far as it can go now: reads what is remembered, makes the calls that are
 * due one after the other, and says how it ended. Every way to end is a member of `Rotation`; `worker/process.ts` is
 * the one place that turns it into BullMQ's terms. Events are committed here, and published by the caller.
 *
 * A group's work may be started by anybody at any time, twice or at once: the record decides what happens.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Denial } from '../budget/budget.ts';
import { closeGate, type Gate, openGate } from '../budget/gate.ts';
import type { InstanceConfig, RetryConfig } from '../config/config.ts';
import type { Entry, GroupRecord, LinkReason } from '../groups/record.ts';
import type { CallFailure } from '../ryze/outcome.ts';
import { type CallDependencies, makeCall, type Target } from './call.ts';
import { decide } from './decide.ts';
import { doorOf, retryDelayMs } from './failure.ts';
import { doubtMs, endReprieve, isReprieved, suspect } from './suspicion.ts';
import { transition } from './transition.ts';
import type { Failure, Input, Work } from './types.ts';

export type Rotation =
  /** The group has a link that answers this work. */
  | { readonly status: 'rotated' | 'recovered' | 'satisfied'; readonly record: GroupRecord }
  /** Its link was read; `published`: why it was published, null if it had not changed, or was not shown. */
  | {
      readonly status: 'verified';
      readonly group: string;
      readonly published: LinkReason | null;
      readonly unverified: number;
    }
  /** Nothing to do any more: rescheduled, removed or disabled since this was queued. */
  | { readonly status: 'obsolete' }
  /** No file has the group any more. */
  | { readonly status: 'unregistered' }
  /**
   * Come back later; costs no try. `closed`: nothing else of this instance can go either. `proven`: a call of this run
   * worked, so what failed before is over.
   */
  | {
      readonly status: 'wait';
      readonly ms: number;
      readonly proven?: boolean;
      readonly why: 'busy' | 'settling' | 'lost' | 'elsewhere' | Denial;
      readonly closed: boolean;
    }
  /** A call failed for the group's own reason: look again after `ms`, with this failure, before it is blamed. */
  | { readonly status: 'doubted'; readonly ms: number; readonly failure: Failure }
  /** A call failed and another is worth it, after `ms`. */
  | { readonly status: 'retry'; readonly ms: number; readonly failure: CallFailure }
  /** Gave up for now. `failure.code` is one of the contract's. */
  | { readonly status: 'gaveUp'; readonly failure: Failure; readonly nextAttemptAt: number | null };

export interface RotateDependencies extends CallDependencies {
  readonly retry: RetryConfig;
  readonly random: () => number;
  /** The instance as this process knows it, with its token; null: it serves no such instance. */
  readonly callerOf: (instance: string) => { readonly instance: InstanceConfig; readonly token: string } | null;
  /** Called after a 401: reads the instance's token again, and returns it. */
  readonly refreshToken: (instance: string) => string;
  readonly onGateClosed: (instance: string, gate: Gate) => void;
  /** Told when a reset of ours whose answer was lost has been read back, whatever becomes of the work that did it. */
  readonly onRecovered: (record: GroupRecord, work: Work) => void;
  /** Told right after events were committed, and for which results queues. */
  readonly onCommitted: (queues: readonly string[]) => void;
}

/** More steps than any honest course of one job: resolve, read back, reset, each overtaken a few times. */
const maxSteps = 25;

export interface Past {
  /** Calls of this job that failed before. */
  readonly tries: number;
  /** The failure for which it was `doubted`; null: none. */
  readonly doubted: Failure | null;
}

/** How long to wait where another process has to do something first. */
const elsewhereMs = 5_000;
const movedOn: Rotation = { status: 'wait', ms: 0, why: 'elsewhere', closed: false };

/** `first`: the group's record as it was found. */
export async function rotate(
  deps: RotateDependencies,
  first: string,
  asked: Work,
  { tries, doubted }: Past,
): Promise<Rotation> {
  const { redis, keys } = deps;
  let recordId = first;
  let work = asked;
  let checked = doubted === null;
  let mine: 'rotated' | 'recovered' | null = null;
  let proven = false;
  /** A refusal in words that are not documented: it counts once the link has been read back unchanged. */
  let refusal: CallFailure | null = null;

  for (let steps = 0; steps < maxSteps; steps++) {
    const { record, step, isExpired } = await look(deps, recordId, work);
    const { entry } = record;
    // Where no call follows, nothing else would note that the attempt is over.
    if (isExpired && step.do === 'finish') await apply(deps, recordId, { kind: 'expired' });
    // Redis has lost the record, or the group has another by now. What the planner released, it releases again.
    if (entry === null && work.kind !== 'request') return { status: 'obsolete' };
    if (entry === null) return { status: 'wait', ms: elsewhereMs, why: 'lost', closed: false };

    // Its group's id names another WhatsApp group by now: the job finds that one when it runs again.
    if (work.kind === 'request' && record.replaced && step.do !== 'wait') return movedOn;

    if (step.do === 'finish') {
      if (mine !== null) return { status: mine, record };
      if (step.as === 'duplicate') {
        return await giveUp(deps, recordId, work, duplicateFailure(record.duplicateOf ?? ''));
      }
      if (step.as !== 'answered') return { status: step.as };
      const again = work.kind === 'request' && record.answered.includes(work.identity);
      const made = record.reason === 'recovery' ? 'recovered' : 'rotated';
      return { status: again ? made : 'satisfied', record };
    }
    if (step.do === 'wait') {
      // No longer than a job takes anyway.
      if (step.why === 'burst') {
        await sleep(step.ms + 1);
        continue;
      }
      // Whoever works on the group does what a verification would do.
      if (step.why === 'busy' && work.kind === 'verification') return { status: 'obsolete' };
      return { status: 'wait', ms: step.ms, why: step.why, closed: false, proven };
    }
    if (step.do === 'reset' && refusal !== null) return await blame(deps, record, recordId, work, doubted, refusal);

    const caller = deps.callerOf(entry.instance);
    if (caller === null) return { status: 'wait', ms: elsewhereMs, why: 'elsewhere', closed: false };
    const target: Target = { recordId, entry, ...caller };
    const place = [entry.instance, entry.group] as const;
    if (!checked && doubted !== null && !(await isReprieved(redis, keys, ...place))) {
      return await giveUp(deps, recordId, work, doubted);
    }
    checked = true;

    const result = await makeCall(deps, target, work, step.do);
    switch (result.end) {
      case 'denied':
        return { status: 'wait', ms: result.waitMs, why: result.why, closed: closesQueue(result.why), proven };
      case 'overtaken':
      case 'fenced':
        continue;
      case 'duplicate':
        return await giveUp(deps, recordId, work, duplicateFailure(result.owner));
      case 'done': {
        // Another record counts its own attempts.
        if (result.recordId !== recordId && work.kind === 'request') work = { ...work, attemptsSeen: null };
        recordId = result.recordId;
        // A read-back after a refusal says nothing of what was refused.
        proven ||= refusal === null;
        const published = result.events[0]?.reason ?? null;
        if (published !== null) deps.onCommitted(result.record.entry?.queues ?? []);
        if (published === 'recovery') deps.onRecovered(result.record, work);
        if (doubted !== null) await endReprieve(redis, keys, ...place);
        if (step.do === 'reset' && result.record.replaced && work.kind === 'request') return movedOn;
        if (step.do === 'reset') return { status: 'rotated', record: result.record };
        if (work.kind === 'verification') {
          return { status: 'verified', group: entry.group, published, unverified: result.record.unverified };
        }
        if (published === 'recovery') mine = 'recovered';
        // The answer came from a cache, say, and settled nothing.
        if (step.do === 'adopt' && result.record.adopt) {
          return { status: 'wait', ms: elsewhereMs, why: 'settling', closed: false };
        }
        continue;
      }
      case 'failed': {
        const door = doorOf(result.failure.code);
        if (door === 'instance') await answerTrouble(deps, target, result.failure);
        // The gate or the bucket is closed by now: asking for the next slot says for how long.
        if (door === 'instance' || door === 'token') continue;
        if (work.kind === 'verification' && (step.do !== 'adopt' || door !== 'group')) {
          const { unverified } = await apply(deps, recordId, { kind: 'postponed' });
          return { status: 'verified', group: entry.group, published: null, unverified };
        }
        if (door === 'group') {
          refusal = result.failure;
          // Read back first, where it may have had an effect all the same.
          if (step.do === 'reset' && refusal.sent === 'unknown') continue;
          return await blame(deps, record, recordId, work, doubted, refusal);
        }
        if (result.failure.final === true || tries + 1 >= deps.retry.attempts) {
          return await giveUp(deps, recordId, work, afterCalls(result.failure, tries + 1));
        }
        return { status: 'retry', ms: retryDelayMs(tries + 1, deps.retry, deps.random), failure: result.failure };
      }
    }
  }
  return { status: 'wait', ms: 1_000, why: 'busy', closed: false };
}

/** It is the group's own failure: at once, or, the first time, after a moment in which others may fail too. */
async function blame(
  deps: RotateDependencies,
  { entry }: GroupRecord,
  recordId: string,
  work: Work,
  doubted: Failure | null,
  failure: CallFailure,
): Promise<Rotation> {
  if (entry === null) return await giveUp(deps, recordId, work, failure);
  if (doubted === null) return await doubt(deps, entry, failure);
  await endReprieve(deps.redis, deps.keys, entry.instance, entry.group);
  return await giveUp(deps, recordId, work, failure);
}

/** Says what was tried. */
function afterCalls(failure: CallFailure, calls: number): Failure {
  return calls < 2 ? failure : { ...failure, message: `${failure.message} (after ${calls} calls)` };
}

/** The record as it would be without abandoned attempts, and what is due. */
async function look({ store, settleTimeMs }: RotateDependencies, recordId: string, work: Work) {
  const { record: stored, nowMs } = await store.load(recordId);
  const { record } = transition(stored, { kind: 'expired' }, nowMs, settleTimeMs);
  return { record, step: decide(record, work, nowMs), isExpired: record !== stored };
}

/** Pause the queue only when no job of this instance could proceed. Jobs that wait for a slot or a pace are delayed alone. */
function closesQueue(why: Denial): boolean {
  return why === 'exhausted' || why === 'gate';
}

/** Closes the instance's gate, unless the token was refused and there is another one by now: then it is tried. */
async function answerTrouble(deps: RotateDependencies, target: Target, failure: CallFailure): Promise<void> {
  const { name } = target.instance;
  const token = failure.code === 'unauthorized' ? deps.refreshToken(name) : target.token;
  if (token !== target.token) {
    const opened = await openGate(deps.redis, deps.keys, name);
    if (opened !== null) deps.onGateOpened(name, opened);
    return;
  }
  const gate = await closeGate(deps.redis, deps.keys, name, failure.code);
  if (gate.closedNow) deps.onGateClosed(name, gate);
}

/** Leaves a moment in which other groups of the instance may fail too; if they do, closes its gate. */
async function doubt(
  deps: RotateDependencies,
  { instance: name, group }: Entry,
  failure: CallFailure,
): Promise<Rotation> {
  if (!(await suspect(deps.redis, deps.keys, name, group))) return { status: 'doubted', ms: doubtMs, failure };
  const gate = await closeGate(deps.redis, deps.keys, name, 'suspected');
  if (gate.closedNow) deps.onGateClosed(name, gate);
  return { status: 'doubted', ms: gate.opensInMs, failure };
}

async function giveUp(deps: RotateDependencies, recordId: string, work: Work, failure: Failure): Promise<Rotation> {
  const { failure: noted, entry } = await apply(deps, recordId, { kind: 'gaveUp', work, failure });
  deps.onCommitted(entry?.queues ?? []);
  return { status: 'gaveUp', failure, nextAttemptAt: noted?.nextAttemptAt ?? null };
}

/** Stores what becomes of the record, with its events. */
async function apply(
  { store, settleTimeMs }: RotateDependencies,
  recordId: string,
  input: Input,
): Promise<GroupRecord> {
  return await store.update(recordId, (stored, nowMs) => {
    const { record, events } = transition(stored, input, nowMs, settleTimeMs);
    return { record, events, result: record };
  });
}

function duplicateFailure(owner: string): Failure {
  return {
    code: 'invalid_request',
    message: `this is the same WhatsApp group as "${owner}", which keeps rotating: remove one of the two from the file`,
    httpStatus: null,
  };
}
