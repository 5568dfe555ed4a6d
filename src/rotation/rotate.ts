/**
 * Carries one piece of work for one group as far as it can go now: reads what is remembered, makes the calls that are
 * due one after the other, and says how it ended. Every way to end is a member of `Rotation`; `worker/process.ts` is
 * the one place that turns it into BullMQ's terms. Events are committed here, and published by the caller.
 *
 * A group's work may be started by anybody at any time, twice or at once: the record decides what happens.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Denial } from '../budget/budget.ts';
import {
  type FailedCall,
  type Gate,
  judgeFailure,
  openGate,
  outageMs,
  readStanding,
  type Verdict,
} from '../budget/gate.ts';
import type { InstanceConfig, RetryConfig } from '../config/config.ts';
import type { LinkReason } from '../contract/event.ts';
import type { GroupRecord } from '../groups/record.ts';
import type { CallFailure } from '../ryze/outcome.ts';
import { type CallDependencies, makeCall, type Target } from './call.ts';
import { decide } from './decide.ts';
import { policies, retryDelayMs } from './policy.ts';
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
   * Come back later; costs no try. `closed`: nothing else of this instance can go either. `past`: what to remember of the
   * job from now on; absent: the same as before.
   */
  | {
      readonly status: 'wait';
      readonly ms: number;
      readonly past?: Past;
      readonly why: 'busy' | 'settling' | 'lost' | 'elsewhere' | Denial;
      readonly closed: boolean;
    }
  /** A call failed for the group's own reason: look again after `ms`, with this failure, before it gives up. */
  | { readonly status: 'doubted'; readonly ms: number; readonly failure: Doubted }
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
  /** A probe has failed: the pause goes on. */
  readonly onGateExtended: (instance: string, gate: Gate) => void;
  /** Told right after events were committed, and for which results queues. */
  readonly onCommitted: (queues: readonly string[]) => void;
}

/** More steps than any honest course of one job: resolve, read back, reset, each overtaken a few times. */
const maxSteps = 25;

/** A failure that waits for a moment, in which others may fail too. */
export interface Doubted extends Failure {
  /** It was shown before that the group fails so by its own fault. */
  readonly isConvicted: boolean;
}

export interface Past {
  /** Calls of this job that failed before. */
  readonly tries: number;
  /** The failure for which it was `doubted`; null: none. */
  readonly doubted: Doubted | null;
}

/** For how long a failure is doubted. */
const doubtMs = 2_000;

/** How long to wait where another process has to do something first. */
const elsewhereMs = 5_000;
const movedOn: Rotation = { status: 'wait', ms: 0, why: 'elsewhere', closed: false };

/** `first`: the group's record as it was found. */
export async function rotate(deps: RotateDependencies, first: string, asked: Work, past: Past): Promise<Rotation> {
  const { tries, doubted } = past;
  let recordId = first;
  let work = asked;
  let checked = doubted === null;
  let acquitted = false;
  let mine: 'rotated' | 'recovered' | null = null;
  let proven = false;
  /** A refusal in words that are not documented: it counts once the link has been read back unchanged. */
  let refusal: { readonly failure: CallFailure; readonly verdict: Blame } | null = null;
  /** A call of this run that worked shows that what failed before is over; one that was refused is still to be judged. */
  const remembered = (): Past => {
    if (refusal !== null) return { tries: proven ? 0 : tries, doubted: doubtOf(refusal.failure, refusal.verdict) };
    return { tries: proven ? 0 : tries, doubted: proven || acquitted ? null : doubted };
  };

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
      return { status: 'wait', ms: step.ms, why: step.why, closed: false, past: remembered() };
    }
    if (step.do === 'reset' && refusal !== null) {
      return await conclude(deps, recordId, work, past, refusal.failure, refusal.verdict);
    }

    const caller = deps.callerOf(entry.instance);
    if (caller === null) return { status: 'wait', ms: elsewhereMs, why: 'elsewhere', closed: false };
    const target: Target = { recordId, entry, ...caller };
    // What may have had an effect is read back first.
    if (!checked && doubted !== null && step.do !== 'readBack') {
      acquitted = await isAcquitted(deps, target, doubted);
      if (!acquitted) return await giveUp(deps, recordId, work, doubted);
      checked = true;
    }

    const result = await makeCall(deps, target, work, step.do);
    switch (result.end) {
      case 'denied':
        return {
          status: 'wait',
          ms: result.waitMs,
          why: result.why,
          closed: closesQueue(result.why),
          past: remembered(),
        };
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
        proven ||= refusal === null && (doubted === null || step.do !== 'readBack');
        const published = result.events[0]?.reason ?? null;
        if (published !== null) deps.onCommitted(result.record.entry?.queues ?? []);
        if (published === 'recovery') deps.onRecovered(result.record, work);
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
        const { failure, evidence } = result;
        const { scope, retried } = policies[failure.code];
        // Its bucket is closed by now: asking for the next slot says for how long.
        if (scope === 'token' || hasNewToken(deps, target, failure)) {
          if (scope !== 'token') await reopen(deps, target);
          continue;
        }
        const { verdict, inRow } = evidence === null ? known : await judge(deps, target, evidence);
        // The gate is closed by now: asking for the next slot says for how long.
        if (verdict === 'paused') continue;
        if (work.kind === 'verification' && (step.do !== 'adopt' || retried)) {
          const { unverified } = await apply(deps, recordId, { kind: 'postponed' });
          return { status: 'verified', group: entry.group, published: null, unverified };
        }
        if (!retried) {
          refusal = { failure, verdict: evidence === null ? 'known' : verdict };
          // Read back first, where it may have had an effect all the same.
          if (step.do === 'reset' && failure.sent === 'unknown') continue;
          return await conclude(deps, recordId, work, past, failure, refusal.verdict);
        }
        const calls = tries + 1;
        const { attempts } = deps.retry;
        if (failure.final !== true && (calls < attempts || (calls === attempts && inRow > 1))) {
          // Other groups fail too: before this one gives up, it sees whether that goes on, which pauses the instance.
          const ms = calls < attempts ? retryDelayMs(calls, deps.retry, deps.random) : outageMs;
          return { status: 'retry', ms, failure };
        }
        return await giveUp(deps, recordId, work, afterCalls(failure, calls));
      }
    }
  }
  return { status: 'wait', ms: 1_000, why: 'busy', closed: false };
}

/** `known`: the record says that the group fails so. */
type Blame = Exclude<Verdict, 'paused'> | 'known';

const known = { verdict: 'group', inRow: 0 } as const;

/** It is the group's own failure: at once, or, unless that is known, after a moment in which others may fail too. */
async function conclude(
  deps: RotateDependencies,
  recordId: string,
  work: Work,
  { doubted }: Past,
  failure: CallFailure,
  verdict: Blame,
): Promise<Rotation> {
  if (doubted !== null || verdict === 'known') return await giveUp(deps, recordId, work, failure);
  return { status: 'doubted', ms: doubtMs, failure: doubtOf(failure, verdict) };
}

function doubtOf({ code, message, httpStatus }: CallFailure, verdict: Blame): Doubted {
  return { code, message, httpStatus, isConvicted: verdict !== 'unproven' };
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

/** After a 401: whether there is another token by now, which is tried next. */
function hasNewToken(deps: RotateDependencies, { instance, token }: Target, { code }: CallFailure): boolean {
  return code === 'unauthorized' && deps.refreshToken(instance.name) !== token;
}

async function reopen(deps: RotateDependencies, { instance: { name } }: Target): Promise<void> {
  const opened = await openGate(deps, name);
  if (opened !== null) deps.onGateOpened(name, opened);
}

async function judge(deps: RotateDependencies, { instance: { name } }: Target, evidence: FailedCall) {
  const judgement = await judgeFailure(deps, name, evidence);
  if (judgement.change === 'closed') deps.onGateClosed(name, judgement.gate);
  if (judgement.change === 'extended') deps.onGateExtended(name, judgement.gate);
  return judgement;
}

/**
 * Whether a doubted failure is not the group's after all, as others failed in the same way meanwhile. One that was shown
 * to fail by its own fault is acquitted by others' failures alone; any other one is owed a second call once it is blamed.
 */
async function isAcquitted(
  deps: RotateDependencies,
  { instance: { name }, recordId }: Target,
  { code, isConvicted }: Doubted,
): Promise<boolean> {
  const { isBlamed, isTroubleOfOthers } = await readStanding(deps, name, recordId, code);
  return isTroubleOfOthers || (isBlamed && !isConvicted);
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
