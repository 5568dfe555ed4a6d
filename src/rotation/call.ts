/**
 * Makes one call to RyzeAPI for a group, from taking a slot to storing the outcome. Guarantees:
 *
 * - at most one request on the wire, and none unless the attempt was recorded first and its lease is still running;
 * - once the API has answered, nothing is called again: only storing is retried, by the Redis client, until it works;
 * - every path settles the slot.
 *
 * Not done here: deciding which call is due (`decide.ts`), and what a failure means for the job (`rotate.ts`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Denial, Purpose } from '../budget/budget.ts';
import type { FailedCall } from '../budget/gate.ts';
import type { InstanceConfig } from '../config/config.ts';
import type { LinkEvent } from '../contract/event.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import type { Attempt, Covers, Entry, GroupRecord } from '../groups/record.ts';
import { unusableAnswer } from '../ryze/classify.ts';
import { type CallOutcome, isFailure } from '../ryze/outcome.ts';
import { inSpan } from '../tracing/spans.ts';
import { decide, owns } from './decide.ts';
import { resolveGroup } from './resolve.ts';
import { transition } from './transition.ts';
import type { Call, RotationDependencies, Transition, Work } from './types.ts';

/** One group with everything that a call for it takes. */
export interface Target {
  readonly recordId: string;
  /** As it was registered when the record was read. */
  readonly entry: Entry;
  /** The entry's instance, as this process knows it. */
  readonly instance: InstanceConfig;
  readonly token: string;
}

export type CallResult =
  /** Nothing was sent: the budget gave no slot. */
  | { readonly kind: 'denied'; readonly why: Denial; readonly waitMs: number }
  /** Something else is due by now, or another attempt took the group over. Nothing of this call was committed. */
  | { readonly kind: 'overtaken' }
  /** The group named by a code or link is one that `owner` has already. */
  | { readonly kind: 'duplicate'; readonly owner: string }
  /**
   * The outcome is stored. `recordId`: of the record that the group has now. `evidence`: a failure that may be the
   * instance's, for the caller to have judged; null if it is known whose it is.
   */
  | {
      readonly kind: 'stored';
      readonly outcome: CallOutcome;
      readonly recordId: string;
      readonly record: GroupRecord;
      readonly events: readonly LinkEvent[];
      readonly evidence: FailedCall | null;
    };

/**
 * A process that does not renew in time is presumed dead, and its group is taken over. Two reads at once do no harm, so
 * a killed worker's read is repeated sooner.
 */
const leases = { reset: { ms: 10_000, renewEveryMs: 3_000 }, read: { ms: 4_000, renewEveryMs: 1_000 } };
/** No lease that is taken or renewed now lasts longer. */
export const maxLeaseMs = leases.reset.ms;

const kindOf = (call: Attempt['call']) => (call === 'reset' ? 'reset' : 'read');

export async function makeCall(
  deps: RotationDependencies,
  target: Target,
  work: Work,
  call: Call,
): Promise<CallResult> {
  const { recordId, instance, token } = target;
  const { budget } = deps;
  const sinceAsked = stopwatch();
  const grant = await takeSlot(deps, target, work, call);
  if (!grant.granted) return { kind: 'denied', why: grant.why, waitMs: grant.waitMs };

  const sinceRecorded = stopwatch();
  const started = await startAttempt(deps, target, work, call);
  if (started === null || sinceRecorded() > leases[kindOf(call)].ms / 2 || sinceAsked() > grant.sendWithinMs) {
    await budget.settle(instance, grant, null);
    if (started !== null) await endAttempt(deps, target, started.attempt, null);
    return { kind: 'overtaken' };
  }

  const { attempt } = started;
  const stopRenewing = keepLease(deps, recordId, attempt);
  const sentAt = performance.now();
  // By JID, once it is known: a code is dead after the first reset.
  const request = { instance: instance.name, token, identifier: started.jid ?? target.entry.identifier };
  const answer = await (call === 'reset' ? deps.ryze.resetLink(request) : deps.ryze.groupInfo(request));
  const tookMs = performance.now() - sentAt;
  stopRenewing();

  const stored = await inSpan('commit', { attributes: { group: target.entry.group } }, async (span) => {
    const result = await storeOutcome(deps, target, started, answer);
    const [event] = result.kind === 'stored' ? result.events : [];
    span.set({ outcome: result.kind, event: event?.type, reason: event?.reason, revision: event?.revision });
    return result;
  });
  const outcome = stored.kind === 'stored' ? stored.outcome : answer;
  // A group that failed in this way before says nothing of the instance, and neither does an attempt that was overtaken.
  const isNews = stored.kind === 'stored' && isFailure(outcome) && stored.record.failure?.code !== outcome.code;
  const settled = await budget.settle(instance, grant, { outcome, tookMs, startedAt: attempt.begunAt, isNews });
  if (settled.opened !== null) deps.onGateOpened(instance.name, settled.opened);
  deps.onLimitSeen(instance, { limit: outcome.rateLimit?.limit ?? null, foreign: settled.foreign });
  return stored.kind === 'stored' ? { ...stored, evidence: settled.evidence } : stored;
}

/** Waits until the slot starts, if there is one. */
async function takeSlot({ budget }: RotationDependencies, target: Target, work: Work, call: Call) {
  const { recordId, entry, instance, token } = target;
  const purpose = purposeOf(work, call);
  const attributes = { group: entry.group, instance: instance.name, purpose };
  return await inSpan('wait for slot', { attributes }, async (span) => {
    const about = { group: recordId, call: kindOf(call) } as const;
    const grant = await budget.acquire(instance, token, purpose, waiterOf(recordId, work), about);
    if (!grant.granted) span.event('slot denied', { why: grant.why, wait_ms: grant.waitMs });
    // A timer may fire a millisecond early.
    else if (grant.startsInMs > 0) await sleep(grant.startsInMs + 1);
    return grant;
  });
}

function purposeOf(work: Work, call: Call): Purpose {
  if (call === 'readBack') return 'readBack';
  if (work.kind === 'request') return 'oneOff';
  if (call === 'reset') return 'scheduledReset';
  return call === 'verify' && work.kind === 'verification' && work.isPeriodic ? 'verification' : 'scheduledRead';
}

/** Names this work in the wait list. A group has one scheduled job and one verification at a time. */
function waiterOf(recordId: string, work: Work): string {
  return work.kind === 'request' ? `request/${work.identity}` : `${work.kind}/${recordId}`;
}

/** Records the attempt if the call is still due. Redis's clock at this moment is its start. */
async function startAttempt(
  { store, settleTimeMs, ...deps }: RotationDependencies,
  { recordId, entry, instance }: Target,
  work: Work,
  call: Call,
): Promise<{ readonly attempt: Attempt; readonly jid: string | null } | null> {
  const id = randomUUID();
  // A one-off may be on the queue of another instance: the reset answers the other one-offs of that queue too.
  const queue = (work.kind === 'request' ? work.position?.queue : null) ?? rotationsQueue(instance.name);
  const pushed = call === 'reset' ? await pushedTo(deps, queue, { group: entry.group, recordId }) : null;
  return await store.update(recordId, (stored, nowMs) => {
    // Already ours: the reply to an earlier try of this very step was lost.
    if (owns(stored, id)) return { record: null, result: { attempt: stored.attempt!, jid: stored.jid } };
    const { record } = transition(stored, { kind: 'expired' }, nowMs, settleTimeMs);
    const isDue = record.entry?.instance === instance.name && decide(record, work, nowMs).do === call;
    if (!isDue) return { record: null, result: null };
    const attempt: Attempt = {
      id,
      call,
      begunAt: nowMs,
      leaseUntil: nowMs + leases[kindOf(call)].ms,
      request: work.kind === 'request' ? { ...work.request, identity: work.identity, link: work.link?.code } : null,
      covers: pushed && { ...pushed, attempt: record.attempts + 1 },
    };
    const started = transition(record, { kind: 'started', attempt }, nowMs, settleTimeMs);
    return { record: started.record, result: { attempt, jid: record.jid } };
  });
}

/** What is on the queue before the reset starts, and is answered by it. */
async function pushedTo(
  { lastJobOn, uncountedOn }: Pick<RotationDependencies, 'lastJobOn' | 'uncountedOn'>,
  queue: string,
  named: { readonly group: string; readonly recordId: string },
): Promise<Covers> {
  const [counted, others] = await Promise.all([lastJobOn(queue), uncountedOn(queue, named)]);
  return others.length === 0 ? counted : { ...counted, others: [...others] };
}

/** Renews the lease until stopped, as long as the attempt owns the record. */
function keepLease({ store, settleTimeMs }: RotationDependencies, recordId: string, { id, call }: Attempt): () => void {
  const { ms, renewEveryMs } = leases[kindOf(call)];
  const timer = setInterval(() => {
    store
      .update(recordId, (record, nowMs) => {
        const renewed = { kind: 'renewed', id, leaseUntil: nowMs + ms } as const;
        return { record: transition(record, renewed, nowMs, settleTimeMs).record, result: undefined };
      })
      .catch(() => {
        // The Redis client reports outages itself. A lease that was not renewed only costs a read-back.
      });
  }, renewEveryMs);
  return () => clearInterval(timer);
}

/** Stores the outcome in one atomic step with its events, unless the fence refuses it. The evidence is still to come. */
async function storeOutcome(
  deps: RotationDependencies,
  target: Target,
  { attempt, jid }: { readonly attempt: Attempt; readonly jid: string | null },
  outcome: CallOutcome,
): Promise<CallResult> {
  const { recordId } = target;
  if (jid === null && !isFailure(outcome)) {
    const resolved = await resolveGroup(deps.store, recordId, attempt, outcome, deps.settleTimeMs);
    if (resolved.owner !== null) return { kind: 'duplicate', owner: resolved.owner };
    return resolved.fenced ? { kind: 'overtaken' } : { ...resolved, kind: 'stored', outcome, evidence: null };
  }
  const { record, events, fenced, repeated } = await endAttempt(deps, target, attempt, outcome);
  if (fenced) return { kind: 'overtaken' };
  if (!repeated) return { kind: 'stored', outcome, recordId, record, events, evidence: null };
  const failure = unusableAnswer(200, 'the answer repeats a code that was replaced');
  const repeatedCode = { ...failure, rateLimit: outcome.rateLimit };
  return { kind: 'stored', outcome: repeatedCode, recordId, record, events, evidence: null };
}

/** `outcome`: null if no call was made. */
async function endAttempt(
  { store, settleTimeMs }: RotationDependencies,
  { recordId }: Target,
  attempt: Attempt,
  outcome: CallOutcome | null,
): Promise<Transition> {
  return await store.update(recordId, (stored, nowMs) => {
    const ended = transition(stored, { kind: 'ended', attempt, outcome }, nowMs, settleTimeMs);
    return { record: ended.record, events: ended.events, result: ended };
  });
}

/** Elapsed time by the clock that saw more of it: one stops while the machine sleeps, the other may be set back. */
function stopwatch(): () => number {
  const steady = performance.now();
  const wall = Date.now();
  return () => Math.max(performance.now() - steady, Date.now() - wall);
}
