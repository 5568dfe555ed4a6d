/**
 * Makes one call to RyzeAPI for a group, from taking a slot to storing what came of it. Guarantees:
 *
 * - at most one request on the wire, and none unless the attempt was recorded first and its lease still runs;
 * - once the API has answered, nothing is asked again: only storing is retried, by the Redis client, for as long as it
 *   takes;
 * - every way out settles the slot.
 *
 * Not done here: deciding which call is due (`attempt.ts`), and what a failure means for the job (`rotate.ts`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Budget, Denial, Settlement } from '../budget/budget.ts';
import { closesGate } from '../budget/gate.ts';
import type { GroupConfig, InstanceConfig } from '../config/config.ts';
import { claimJid } from '../groups/jids.ts';
import type { Attempt, GroupRecord } from '../groups/record.ts';
import type { GroupPlace, GroupStore } from '../groups/store.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import type { LinkEvent } from '../results/event.ts';
import type { RyzeClient } from '../ryze/client.ts';
import { identifierText } from '../ryze/identifier.ts';
import type { CallFailure, CallOutcome, InfoAnswer, ResetAnswer } from '../ryze/outcome.ts';
import * as attempts from './attempt.ts';

/** One group with everything needed to call for it. */
export interface Target {
  readonly group: GroupConfig;
  readonly instance: InstanceConfig;
  readonly token: string;
  readonly rules: attempts.GroupRules;
  readonly place: GroupPlace;
}

export interface CallDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly budget: Budget;
  readonly ryze: RyzeClient;
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
  /** Stored. */
  | { readonly end: 'done'; readonly record: GroupRecord; readonly events: readonly LinkEvent[] }
  /** The call failed, and its attempt is settled as that says. */
  | { readonly end: 'failed'; readonly failure: CallFailure }
  /** A code or link was resolved to the JID of a group that `owner` has already. */
  | { readonly end: 'duplicate'; readonly owner: string }
  /** Another attempt took the group over while we called; it will be read back. */
  | { readonly end: 'fenced' };

/** A process that does not renew in time is taken for dead, and its group is taken over. */
const leaseMs = 10_000;
const renewEveryMs = 3_000;

type Answer = { call: 'reset'; value: ResetAnswer } | { call: 'readBack' | 'resolve' | 'verify'; value: InfoAnswer };

export async function makeCall(
  deps: CallDependencies,
  target: Target,
  work: attempts.Work,
  call: attempts.Call,
): Promise<CallEnd> {
  const { budget } = deps;
  const askedAt = elapsedSince();
  const purpose = work.kind === 'request' ? 'oneOff' : call === 'reset' ? 'scheduledReset' : 'scheduledRead';
  const grant = await budget.acquire(target.instance, target.token, purpose, waiterOf(target.group, work));
  if (!grant.granted) return { end: 'denied', why: grant.why, waitMs: grant.waitMs };
  // A timer may go off a millisecond early.
  if (grant.startsInMs > 0) await sleep(grant.startsInMs + 1);

  const recordedAt = elapsedSince();
  const begun = await beginAttempt(deps, target, work, call);
  if (begun === null || recordedAt() > leaseMs / 2 || askedAt() > grant.sendWithinMs) {
    await budget.settle(target.instance, grant, { ending: 'refunded' });
    if (begun !== null) await endAttempt(deps, target, begun, { as: 'noEffect' });
    return { end: 'overtaken' };
  }

  const stopRenewing = keepLease(deps, target, begun.id);
  const sentAt = performance.now();
  const outcome = await send(deps.ryze, target, begun, call);
  const tookMs = performance.now() - sentAt;
  stopRenewing();

  const end = await settleAttempt(deps, target, begun, outcome);
  const { foreign, opened } = await budget.settle(target.instance, grant, settlementOf(outcome, tookMs));
  if (opened !== null) deps.onGateOpened(target.instance.name, opened);
  deps.onLimitSeen(target.instance, { limit: outcome.rateLimit?.limit ?? null, foreign });
  return end;
}

/** Names this work in the line for the token's slots. A group has one scheduled job and one verification at a time. */
function waiterOf({ id, instance }: GroupConfig, work: attempts.Work): string {
  return work.kind === 'request' ? `request/${instance}/${work.jobId}` : `${work.kind}/${id}`;
}

interface Begun extends Attempt {
  readonly jid: string | null;
}

/** Records the attempt, if the call is still what is due. Redis's clock at this moment is when it began. */
async function beginAttempt(
  deps: CallDependencies,
  target: Target,
  work: attempts.Work,
  call: attempts.Call,
): Promise<Begun | null> {
  const id = randomUUID();
  return await deps.store.update<Begun | null>(target.place, (stored, nowMs) => {
    // Already ours: the reply to an earlier try of this very step was lost.
    if (attempts.owns(stored, id)) return { record: null, result: { ...stored.attempt!, jid: stored.jid } };
    const { record } = attempts.transition(stored, { kind: 'lapses' }, nowMs, target.rules);
    if (attempts.decide(record, work, nowMs).do !== call) return { record: null, result: null };
    const request = work.kind === 'request' ? { ...work.request, jobId: work.jobId } : null;
    const attempt: Attempt = { id, call, begunAt: nowMs, leaseUntil: nowMs + leaseMs, request };
    const begun = attempts.transition(record, { kind: 'begins', attempt }, nowMs, target.rules);
    return { record: begun.record, result: { ...attempt, jid: record.jid } };
  });
}

/** Renews the lease until told to stop; an attempt that is no longer ours is left to its new owner. */
function keepLease(deps: CallDependencies, target: Target, id: string): () => void {
  const timer = setInterval(() => {
    deps.store
      .update(target.place, (record, nowMs) => {
        const lives = { kind: 'lives', id, leaseUntil: nowMs + leaseMs } as const;
        return { record: attempts.transition(record, lives, nowMs, target.rules).record, result: undefined };
      })
      .catch(() => {
        // Redis's own trouble is reported by its client; a lease that was not renewed only costs a read-back.
      });
  }, renewEveryMs);
  return () => clearInterval(timer);
}

async function send(
  ryze: RyzeClient,
  { group, instance, token }: Target,
  { jid }: Begun,
  call: attempts.Call,
): Promise<CallOutcome<Answer>> {
  const identifier = call === 'resolve' || jid === null ? identifierText(group.identifier) : jid;
  if (call === 'reset') {
    const outcome = await ryze.resetLink({ instance: instance.name, token, identifier });
    return outcome.ok ? { ...outcome, value: { call, value: outcome.value } } : outcome;
  }
  const outcome = await ryze.groupInfo({ instance: instance.name, token, identifier });
  return outcome.ok ? { ...outcome, value: { call, value: outcome.value } } : outcome;
}

/** Stores what the call came to, in one atomic step with its events, unless the fence refuses. */
async function settleAttempt(
  deps: CallDependencies,
  target: Target,
  begun: Begun,
  outcome: CallOutcome<Answer>,
): Promise<CallEnd> {
  const ending = await endingOf(deps, target, outcome);
  const { record, events, fenced } = await endAttempt(deps, target, begun, ending);
  if (fenced) return { end: 'fenced' };
  if (!outcome.ok) return { end: 'failed', failure: outcome };
  if (ending.as === 'resolved' && ending.duplicateOf !== null) return { end: 'duplicate', owner: ending.duplicateOf };
  return { end: 'done', record, events };
}

async function endAttempt(
  deps: CallDependencies,
  { place, rules }: Target,
  { jid: _, ...attempt }: Begun,
  ending: attempts.Ending,
): Promise<attempts.Outcome> {
  return await deps.store.update(place, (stored, nowMs) => {
    const outcome = attempts.transition(stored, { kind: 'ends', attempt, ending }, nowMs, rules);
    return { record: outcome.record, events: outcome.events, result: outcome };
  });
}

async function endingOf(
  { redis, keys }: CallDependencies,
  { group }: Target,
  outcome: CallOutcome<Answer>,
): Promise<attempts.Ending> {
  if (!outcome.ok) return outcome.sent === 'unknown' ? { as: 'unknown', over: outcome.ended } : { as: 'noEffect' };
  const { jid, inviteCode, inviteLink } = outcome.value.value;
  const link = inviteCode === null || inviteLink === null ? null : { jid, code: inviteCode, url: inviteLink };
  if (outcome.value.call === 'resolve') {
    return { as: 'resolved', jid, link, duplicateOf: await claimJid(redis, keys, jid, group.id) };
  }
  // A reset's answer without a link is none: the client says so.
  return outcome.value.call === 'reset' && link !== null ? { as: 'made', link } : { as: 'read', link };
}

function settlementOf(outcome: CallOutcome<Answer>, tookMs: number): Settlement {
  if (!outcome.ok && outcome.sent === 'no') return { ending: 'refunded' };
  const answered = outcome.ok || outcome.httpStatus !== null;
  if (!answered) return { ending: 'silent' };
  return {
    ending: 'answered',
    tookMs,
    rateLimit: outcome.rateLimit,
    exhausted: !outcome.ok && outcome.code === 'rate_limited',
    instance: instanceShown(outcome),
  };
}

/** What the answer shows of the instance itself. */
function instanceShown(outcome: CallOutcome<Answer>): 'works' | 'trouble' | 'unclear' {
  if (outcome.ok) return 'works';
  // A group's own error proves nothing: trouble with the instance has been reported as such.
  return closesGate(outcome.code) ? 'trouble' : 'unclear';
}

/** Time passed by whichever clock saw more of it: one stops while the machine sleeps, the other may be set back. */
function elapsedSince(): () => number {
  const steady = performance.now();
  const wall = Date.now();
  return () => Math.max(performance.now() - steady, Date.now() - wall);
}
