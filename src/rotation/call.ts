/**
 * Makes one call to RyzeAPI for a group, from taking a slot to storing what came of it. Guarantees:
 *
 * - at most one request on the wire, and none unless the attempt was recorded first and its lease still runs;
 * - once the API has answered, nothing is asked again: only storing is retried, by the Redis client, for as long as it
 *   takes;
 * - every way out settles the slot.
 *
 * Not done here: deciding which call is due (`decide.ts`), and what a failure means for the job (`rotate.ts`).
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Budget, Denial, Purpose, Settlement, Shown } from '../budget/budget.ts';
import type { FailedCall, Witness } from '../budget/gate.ts';
import type { InstanceConfig } from '../config/config.ts';
import type { LinkEvent } from '../contract/event.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import type { Attempt, Covers, Entry, GroupRecord } from '../groups/record.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import { contradiction } from '../ryze/classify.ts';
import type { RyzeClient } from '../ryze/client.ts';
import type { CallFailure, CallOutcome, InfoAnswer, ResetAnswer } from '../ryze/outcome.ts';
import { decide, owns } from './decide.ts';
import { policies } from './policy.ts';
import { resolveGroup } from './resolve.ts';
import type { NewLink } from './revision.ts';
import { transition } from './transition.ts';
import type { Call, Outcome, Result, Work } from './types.ts';

/** One group with everything needed to call for it. */
export interface Target {
  readonly recordId: string;
  /** As it was registered when the record was read. */
  readonly entry: Entry;
  /** The entry's instance, as this process knows it. */
  readonly instance: InstanceConfig;
  readonly token: string;
}

export interface CallDependencies extends Database {
  readonly store: GroupStore;
  readonly budget: Budget;
  readonly ryze: RyzeClient;
  /** The configuration's `api.settleTime`. */
  readonly settleTimeMs: number;
  /** How far BullMQ has counted the jobs of a queue. */
  readonly lastJobOn: (queue: string) => Promise<Pick<Covers, 'queue' | 'lastJob'>>;
  /** Told after every call what its answer showed of the token's limit. */
  readonly onLimitSeen: (instance: InstanceConfig, seen: { limit: number | null; foreign: number }) => void;
  /** Told when an instance's gate is open again, and what it was closed for. */
  readonly onGateOpened: (instance: string, reason: string) => void;
}

export type CallEnd =
  /** Nothing was sent: no slot. */
  | { readonly end: 'denied'; readonly why: Denial; readonly waitMs: number }
  /** Nothing was sent: by now something else is due for this group. */
  | { readonly end: 'overtaken' }
  /** Stored. `recordId`: of the record that the group has now. */
  | {
      readonly end: 'done';
      readonly recordId: string;
      readonly record: GroupRecord;
      readonly events: readonly LinkEvent[];
    }
  /**
   * The call failed, and its attempt is settled as that says. `evidence`: the call, where its failure may be the
   * instance's, to be judged by the caller; null: it is known whose it is.
   */
  | { readonly end: 'failed'; readonly failure: CallFailure; readonly evidence: FailedCall | null }
  /** A code or link was resolved to the JID of a group that `owner` has already. */
  | { readonly end: 'duplicate'; readonly owner: string }
  /** Another attempt took the group over while we called; it will be read back. */
  | { readonly end: 'fenced' };

/**
 * A process that does not renew in time is taken for dead, and its group is taken over. Two reads at once do no harm, so a
 * killed worker's read is made again sooner.
 */
const leases = { reset: { ms: 10_000, renewEveryMs: 3_000 }, read: { ms: 4_000, renewEveryMs: 1_000 } };
/** No lease that is taken or renewed now lasts longer. */
export const maxLeaseMs = leases.reset.ms;
const leaseOf = (call: Attempt['call']) => (call === 'reset' ? leases.reset : leases.read);

type Answer = { call: 'reset'; value: ResetAnswer } | { call: 'readBack' | 'adopt' | 'verify'; value: InfoAnswer };

export async function makeCall(deps: CallDependencies, target: Target, work: Work, call: Call): Promise<CallEnd> {
  const { budget } = deps;
  const askedAt = elapsedSince();
  const witness: Witness = { group: target.recordId, call: call === 'reset' ? 'reset' : 'read' };
  const purpose = purposeOf(work, call);
  const grant = await budget.acquire(target.instance, target.token, purpose, waiterOf(target, work), witness);
  if (!grant.granted) return { end: 'denied', why: grant.why, waitMs: grant.waitMs };
  // A timer may go off a millisecond early.
  if (grant.startsInMs > 0) await sleep(grant.startsInMs + 1);

  const recordedAt = elapsedSince();
  const begun = await beginAttempt(deps, target, work, call);
  if (begun === null || recordedAt() > leaseOf(call).ms / 2 || askedAt() > grant.sendWithinMs) {
    await budget.settle(target.instance, grant, { ending: 'refunded' });
    if (begun !== null) await endAttempt(deps, target, begun, { kind: 'rejected' });
    return { end: 'overtaken' };
  }

  const stopRenewing = keepLease(deps, target, begun);
  const sentAt = performance.now();
  const outcome = await send(deps.ryze, target, begun, call);
  const tookMs = performance.now() - sentAt;
  stopRenewing();

  const { knownFailure, ...end } = await settleAttempt(deps, target, begun, outcome);
  const evidence = isEvidence(end, knownFailure);
  const shown = evidence ? 'trouble' : outcome.ok && end.end !== 'failed' ? 'works' : 'unclear';
  const { foreign, opened } = await budget.settle(target.instance, grant, settlementOf(outcome, tookMs, shown));
  if (opened !== null) deps.onGateOpened(target.instance.name, opened);
  deps.onLimitSeen(target.instance, { limit: outcome.rateLimit?.limit ?? null, foreign });
  if (end.end !== 'failed') return end;
  const { code } = end.failure;
  const failed: FailedCall = { ...witness, code, begunAt: begun.begunAt, slot: grant.id };
  return { ...end, evidence: evidence ? failed : null };
}

/**
 * Whether a failure may be the instance's. Not so if the group failed in this way before, if the API does not implement
 * the call, or if it is the token's.
 */
function isEvidence(end: Settled, knownFailure: string | null): boolean {
  if (end.end !== 'failed') return false;
  const { code, final } = end.failure;
  return final !== true && policies[code].scope !== 'token' && knownFailure !== code;
}

/** What may have killed a link is settled as fast as a leak is answered, whatever else is due. */
function purposeOf(work: Work, call: Call): Purpose {
  if (work.kind === 'request' || call === 'readBack') return 'oneOff';
  return call === 'reset' ? 'scheduledReset' : 'scheduledRead';
}

/** Names this work in the line for the token's slots. A group has one scheduled job and one verification at a time. */
function waiterOf({ recordId }: Target, work: Work): string {
  return work.kind === 'request' ? `request/${work.identity}` : `${work.kind}/${recordId}`;
}

interface Begun extends Attempt {
  readonly jid: string | null;
}

/** Records the attempt, if the call is still what is due. Redis's clock at this moment is when it began. */
async function beginAttempt(
  { store, settleTimeMs, lastJobOn }: CallDependencies,
  { recordId, instance }: Target,
  work: Work,
  call: Call,
): Promise<Begun | null> {
  const id = randomUUID();
  // A one-off may lie on the queue of another instance: those that were with it there are answered too.
  const queue = (work.kind === 'request' ? work.position?.queue : null) ?? rotationsQueue(instance.name);
  const pushed = call === 'reset' ? await lastJobOn(queue) : null;
  return await store.update<Begun | null>(recordId, (stored, nowMs) => {
    // Already ours: the reply to an earlier try of this very step was lost.
    if (owns(stored, id)) return { record: null, result: { ...stored.attempt!, jid: stored.jid } };
    const { record } = transition(stored, { kind: 'expired' }, nowMs, settleTimeMs);
    const isDue = record.entry?.instance === instance.name && decide(record, work, nowMs).do === call;
    if (!isDue) return { record: null, result: null };
    const request = work.kind === 'request' ? { ...work.request, identity: work.identity } : null;
    const covers = pushed && { ...pushed, attempt: record.attempts + 1 };
    const attempt: Attempt = { id, call, begunAt: nowMs, leaseUntil: nowMs + leaseOf(call).ms, request, covers };
    const begun = transition(record, { kind: 'started', attempt }, nowMs, settleTimeMs);
    return { record: begun.record, result: { ...attempt, jid: record.jid } };
  });
}

/** Renews the lease until told to stop; an attempt that is no longer ours is left to its new owner. */
function keepLease({ store, settleTimeMs }: CallDependencies, { recordId }: Target, { id, call }: Begun): () => void {
  const { ms, renewEveryMs } = leaseOf(call);
  const timer = setInterval(() => {
    store
      .update(recordId, (record, nowMs) => {
        const renewed = { kind: 'renewed', id, leaseUntil: nowMs + ms } as const;
        return { record: transition(record, renewed, nowMs, settleTimeMs).record, result: undefined };
      })
      .catch(() => {
        // Redis's own trouble is reported by its client; a lease that was not renewed only costs a read-back.
      });
  }, renewEveryMs);
  return () => clearInterval(timer);
}

/** By JID, once it is known: a code is dead after the first reset. */
async function send(
  ryze: RyzeClient,
  { entry, instance, token }: Target,
  { jid }: Begun,
  call: Call,
): Promise<CallOutcome<Answer>> {
  const asked = { instance: instance.name, token, identifier: jid ?? entry.identifier };
  if (call === 'reset') {
    const outcome = await ryze.resetLink(asked);
    return outcome.ok ? { ...outcome, value: { call, value: outcome.value } } : outcome;
  }
  const outcome = await ryze.groupInfo(asked);
  return outcome.ok ? { ...outcome, value: { call, value: outcome.value } } : outcome;
}

type Settled = Exclude<CallEnd, { end: 'failed' | 'denied' | 'overtaken' }> | { end: 'failed'; failure: CallFailure };

/**
 * Stores what the call came to, in one atomic step with its events, unless the fence refuses. `knownFailure`: the code
 * with which the group failed last.
 */
async function settleAttempt(
  deps: CallDependencies,
  target: Target,
  begun: Begun,
  outcome: CallOutcome<Answer>,
): Promise<Settled & { readonly knownFailure: string | null }> {
  const { recordId } = target;
  if (outcome.ok && begun.jid === null) {
    const reading = readingOf(outcome.value.value);
    const resolved = await resolveGroup(deps.store, recordId, attemptOf(begun), reading, deps.settleTimeMs);
    if (resolved.owner !== null) return { end: 'duplicate', owner: resolved.owner, knownFailure: null };
    return { ...(resolved.fenced ? { end: 'fenced' } : { end: 'done', ...resolved }), knownFailure: null };
  }
  const { record, events, fenced, repeated } = await endAttempt(deps, target, begun, resultOf(outcome));
  const knownFailure = record.failure?.code ?? null;
  if (fenced) return { end: 'fenced', knownFailure };
  if (repeated) {
    const failure = contradiction(200, 'the answer repeats a code that was replaced');
    return { end: 'failed', failure, knownFailure };
  }
  if (outcome.ok) return { end: 'done', recordId, record, events, knownFailure };
  return { end: 'failed', failure: outcome, knownFailure };
}

async function endAttempt(
  { store, settleTimeMs }: CallDependencies,
  { recordId }: Target,
  begun: Begun,
  result: Result,
): Promise<Outcome> {
  const ended = { kind: 'ended', attempt: attemptOf(begun), result } as const;
  return await store.update(recordId, (stored, nowMs) => {
    const outcome = transition(stored, ended, nowMs, settleTimeMs);
    return { record: outcome.record, events: outcome.events, result: outcome };
  });
}

function attemptOf({ jid: _, ...attempt }: Begun): Attempt {
  return attempt as Attempt;
}

function resultOf(outcome: CallOutcome<Answer>): Result {
  if (!outcome.ok) return outcome.sent === 'unknown' ? { kind: 'unknown', over: outcome.ended } : { kind: 'rejected' };
  const { link } = readingOf(outcome.value.value);
  // A reset's answer without a link is none: the client says so.
  return outcome.value.call === 'reset' && link !== null ? { kind: 'reset', link } : { kind: 'read', link };
}

function readingOf({ jid, inviteCode, inviteLink }: InfoAnswer): { jid: string; link: NewLink | null } {
  return { jid, link: inviteCode === null || inviteLink === null ? null : { jid, code: inviteCode, url: inviteLink } };
}

function settlementOf(outcome: CallOutcome<Answer>, tookMs: number, instance: Shown): Settlement {
  if (!outcome.ok && outcome.sent === 'no') return { ending: 'refunded', instance };
  const answered = outcome.ok || outcome.httpStatus !== null;
  if (!answered) return { ending: 'silent', instance };
  return {
    ending: 'answered',
    tookMs,
    rateLimit: outcome.rateLimit,
    exhausted: !outcome.ok && outcome.code === 'rate_limited',
    ...(outcome.ok || outcome.retryAfterMs === undefined ? {} : { retryAfterMs: outcome.retryAfterMs }),
    instance,
  };
}

/** Time passed by whichever clock saw more of it: one stops while the machine sleeps, the other may be set back. */
function elapsedSince(): () => number {
  const steady = performance.now();
  const wall = Date.now();
  return () => Math.max(performance.now() - steady, Date.now() - wall);
}
