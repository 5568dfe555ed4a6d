/**
 * What may be done with a group next, and what each ending makes of its record. Pure: a record and Redis's clock go
 * in, a new record and its events come out; `rotate.ts` does what is decided here, and `groups/store.ts` makes each
 * change one atomic step.
 *
 * A record's attempt is lock, fence and write-ahead note in one:
 *
 *   state            how it is told               what may happen next
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   at rest          no attempt, nothing          resolve (no JID yet), reset, verify
 *                    uncertain
 *   in flight        attempt, lease running       wait; its owner renews the lease, then settles it
 *   abandoned        attempt, lease past          `reclaim`: a reset becomes uncertain and open, a read is forgotten
 *   uncertain, open  uncertain, `openUntil` set   read back: changed → committed (`recovery`); unchanged → read again
 *                                                 until `openUntil`, then at rest; no known link → wait, then reset
 *   uncertain, ended uncertain, no `openUntil`    read back once: changed → committed; unchanged → at rest
 *
 *   an attempt ends  when                         the record afterwards
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   committed        the answer was read          new link, higher revision, next due time, event; at rest
 *   refused          the API said no              at rest
 *   not sent         it never left                at rest
 *   unknown          silence, 5xx, our own death  uncertain; one verification is owed after the settle time
 *   fenced           another attempt owns the     a verification is owed at once, and if the group is at rest it is
 *                    record by now                uncertain: what we reset out of turn is read back
 *
 * Not decided here: whether a call may be sent now (the budget's business), and how often a job may fail.
 */
import type { Attempt, GroupRecord, RequestInfo } from '../groups/record.ts';
import type { LinkEvent } from '../results/event.ts';
import type { CallFailure } from '../ryze/outcome.ts';

/** What the configuration in force says of one group. */
export interface GroupRules {
  readonly group: string;
  readonly instance: string;
  /** First due time after a rotation at that time; null: nothing is scheduled for this group. */
  nextDue(afterMs: number): number | null;
  /** The mean time between two scheduled rotations. */
  readonly periodMs: number;
  /** null: links are not verified periodically. */
  readonly verifyEveryMs: number | null;
  readonly settleTimeMs: number;
}

/** Why somebody wants to touch the group. */
export type Work =
  | { readonly kind: 'scheduled'; readonly dueAt: number }
  | {
      readonly kind: 'request';
      readonly jobId: string;
      /** By Redis's clock; null: unknown, so no earlier reset answers it. */
      readonly requestedAt: number | null;
      readonly request: RequestInfo;
    }
  | { readonly kind: 'verification' };

export type Call = Attempt['call'];

/** What a failure tells the world. */
export type Failure = Pick<CallFailure, 'code' | 'message' | 'httpStatus'>;

export type Step =
  | { readonly do: Call }
  | { readonly do: 'wait'; readonly ms: number; readonly why: 'busy' | 'settling' }
  | { readonly do: 'finish'; readonly as: 'answered' | 'obsolete' | 'duplicate' };

/** How long to wait before looking again at a group that is in somebody else's hands. */
const busyPollMs = 250;
/** Time between two read-backs of a call that is still open: doubling between these. */
const readBackMs = { first: 2_000, most: 15_000 };
/** An uncertain group is left to the job that made it so for this long, before a verification looks after it. */
const orphanedMs = 10_000;
/** Between failures of one group: doubling between these, and never longer than its period. */
const failureMs = { first: 5 * 60_000, most: 24 * 3_600_000 };
const verificationRetryMs = 60_000;
const keptAnswers = 16;

/** What comes next for this work, of a record that `reclaim` has seen. */
export function decide(record: GroupRecord, work: Work, nowMs: number): Step {
  if (record.duplicateOf !== null) return { do: 'finish', as: 'duplicate' };
  if (work.kind === 'scheduled' && record.dueAt !== work.dueAt) return { do: 'finish', as: 'obsolete' };
  if (record.attempt !== null) {
    return { do: 'wait', ms: Math.min(record.attempt.leaseUntil - nowMs, busyPollMs), why: 'busy' };
  }
  if (record.uncertain !== null) return decideUncertain(record, record.uncertain, work, nowMs);
  if (work.kind === 'verification') {
    return record.jid !== null && record.link !== null ? { do: 'verify' } : { do: 'finish', as: 'obsolete' };
  }
  if (work.kind === 'request' && isAnswered(record, work)) return { do: 'finish', as: 'answered' };
  return record.jid === null ? { do: 'resolve' } : { do: 'reset' };
}

function decideUncertain(
  record: GroupRecord,
  uncertain: NonNullable<GroupRecord['uncertain']>,
  work: Work,
  nowMs: number,
): Step {
  if (record.link !== null) {
    if (nowMs < uncertain.readAt) return { do: 'wait', ms: uncertain.readAt - nowMs, why: 'settling' };
    return { do: 'readBack' };
  }
  if (work.kind === 'verification') return { do: 'finish', as: 'obsolete' };
  if (uncertain.openUntil !== null && nowMs < uncertain.openUntil) {
    return { do: 'wait', ms: uncertain.openUntil - nowMs, why: 'settling' };
  }
  return { do: 'reset' };
}

function isAnswered(record: GroupRecord, work: Work & { kind: 'request' }): boolean {
  if (record.revision === null) return false;
  if (record.answered.includes(work.jobId)) return true;
  return work.requestedAt !== null && record.resetBegunAt !== null && record.resetBegunAt >= work.requestedAt;
}

/** Takes a group out of the hands of a process that let its lease run out. */
export function reclaim(record: GroupRecord, nowMs: number, rules: GroupRules): GroupRecord {
  const { attempt } = record;
  if (attempt === null || nowMs < attempt.leaseUntil) return record;
  if (attempt.call !== 'reset') return letGo(record);
  return becomeUncertain(record, attempt, false, nowMs, rules);
}

export function begin(record: GroupRecord, attempt: Attempt): GroupRecord {
  return {
    ...record,
    attempts: record.attempts + 1,
    attempt,
    // A reset begins on an uncertain group only where no read-back can tell anything: its own answer will.
    uncertain: attempt.call === 'reset' ? null : record.uncertain,
  };
}

/** Whether this attempt still owns the record: nothing may be sent or settled by one that does not. */
export function owns(record: GroupRecord, attemptId: string): boolean {
  return record.attempt?.id === attemptId;
}

export function renew(record: GroupRecord, leaseUntil: number): GroupRecord {
  return record.attempt === null ? record : { ...record, attempt: { ...record.attempt, leaseUntil } };
}

/** The call never left, or the API refused it: nothing changed on the other side. */
export function letGo(record: GroupRecord): GroupRecord {
  return { ...record, attempt: null, settled: record.attempt?.id ?? record.settled };
}

/** The reset may have taken effect; `ended`: the API has said that it is over. */
export function becomeUncertain(
  record: GroupRecord,
  attempt: Attempt,
  ended: boolean,
  nowMs: number,
  rules: GroupRules,
): GroupRecord {
  const settledAt = attempt.begunAt + rules.settleTimeMs;
  return {
    ...letGo(record),
    uncertain: {
      begunAt: attempt.begunAt,
      openUntil: ended ? null : settledAt,
      readAt: nowMs,
      reads: 0,
      request: attempt.request,
    },
    verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, settledAt),
  };
}

/** A reset was answered, but the record is no longer ours: look at once what the link is. */
export function outOfTurn(record: GroupRecord, begunAt: number, nowMs: number): GroupRecord {
  const owed = { ...record, verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, nowMs) };
  if (record.attempt !== null || record.uncertain !== null) return owed;
  return { ...owed, uncertain: { begunAt, openUntil: null, readAt: nowMs, reads: 0, request: null } };
}

export interface NewLink {
  readonly jid: string;
  readonly code: string;
  readonly url: string;
}

/** Our own reset was answered with a link. */
export function commitReset(record: GroupRecord, attempt: Attempt, link: NewLink, nowMs: number, rules: GroupRules) {
  const type = 'link.rotated' as const;
  const reason = attempt.request === null ? 'schedule' : 'request';
  const from = { begunAt: attempt.begunAt, request: attempt.request };
  return publish({ ...letGo(record), dueAt: rules.nextDue(nowMs) }, link, { type, reason, from }, nowMs, rules);
}

/** The link was read back after an uncertain reset. */
export function settleReadBack(
  record: GroupRecord,
  attempt: Attempt,
  link: NewLink | null,
  nowMs: number,
  rules: GroupRules,
): { record: GroupRecord; events: LinkEvent[] } {
  const { uncertain } = record;
  const free = letGo(record);
  if (uncertain === null) return { record: free, events: [] };
  if (link !== null && link.code !== record.link?.code) {
    const from = { begunAt: uncertain.begunAt, request: uncertain.request };
    const settled = { ...free, uncertain: null, dueAt: rules.nextDue(nowMs) };
    return publish(settled, link, { type: 'link.rotated', reason: 'recovery', from }, nowMs, rules);
  }
  if (uncertain.openUntil === null || attempt.begunAt >= uncertain.openUntil) {
    return { record: { ...free, uncertain: null }, events: [] };
  }
  const pauseMs = Math.min(readBackMs.first * 2 ** uncertain.reads, readBackMs.most);
  const readAt = Math.min(nowMs + pauseMs, uncertain.openUntil);
  return { record: { ...free, uncertain: { ...uncertain, readAt, reads: uncertain.reads + 1 } }, events: [] };
}

/** A code or link was resolved: from now on the group is addressed by its JID. */
export function settleResolve(record: GroupRecord, jid: string, link: GroupRecord['link']): GroupRecord {
  return { ...letGo(record), jid, link: link ?? record.link };
}

/** The link was read back although nothing was uncertain. `link` null: none was shown, so nothing is known. */
export function settleVerification(
  record: GroupRecord,
  attempt: Attempt,
  link: NewLink | null,
  nowMs: number,
  rules: GroupRules,
): { record: GroupRecord; events: LinkEvent[] } {
  const owed = record.verificationOwedAt;
  const verified = {
    ...letGo(record),
    verifiedAt: nowMs,
    // A call that was added to the debt while we read is not paid by a read that began before it.
    verificationOwedAt: owed !== null && attempt.begunAt >= owed ? null : owed,
    unreadable: link === null ? record.unreadable + 1 : 0,
  };
  if (link === null || link.code === record.link?.code) return { record: verified, events: [] };
  if (record.revision === null) return { record: { ...verified, link }, events: [] };
  return publish(verified, link, { type: 'link.changed', reason: 'drift', from: null }, nowMs, rules);
}

/** A verification was refused or unanswered: nothing is known, and it is tried again later. */
export function postponeVerification(record: GroupRecord, nowMs: number): GroupRecord {
  const laterMs = nowMs + verificationRetryMs;
  return {
    ...letGo(record),
    verifiedAt: nowMs,
    verificationOwedAt: record.verificationOwedAt === null ? null : Math.max(record.verificationOwedAt, laterMs),
    uncertain: record.uncertain === null ? null : { ...record.uncertain, readAt: nowMs + readBackMs.most },
  };
}

/** Gives up for now, tells why, and sets the next try. */
export function giveUp(
  record: GroupRecord,
  work: Work,
  { code, message, httpStatus }: Failure,
  nowMs: number,
  rules: GroupRules,
): { record: GroupRecord; events: LinkEvent[] } {
  const count = (record.failure?.count ?? 0) + 1;
  const pauseMs = Math.min(failureMs.first * 2 ** Math.min(count - 1, 20), failureMs.most, rules.periodMs);
  const retryAt = nowMs + pauseMs;
  // A failed one-off leaves the schedule alone, unless it leaves behind a link that may be dead.
  const moves = work.kind === 'scheduled' || (record.uncertain !== null && retryAt < (record.dueAt ?? 0));
  const dueAt = record.dueAt !== null && moves ? retryAt : record.dueAt;
  const failed: GroupRecord = {
    ...record,
    dueAt,
    failure: { code, message, httpStatus, at: nowMs, count, nextAttemptAt: dueAt },
  };
  const request = work.kind === 'request' ? work.request : null;
  const event: LinkEvent = {
    version: 1,
    id: `${rules.group}.${record.revision ?? 0}.failed.${record.attempts}`,
    type: 'rotation.failed',
    group: rules.group,
    jid: record.jid,
    instance: rules.instance,
    inviteCode: record.link?.code ?? null,
    inviteLink: record.link?.url ?? null,
    previousInviteCode: record.previous.code,
    revision: record.revision,
    previousRevision: record.previous.revision,
    reason: work.kind === 'request' ? 'request' : work.kind === 'scheduled' ? 'schedule' : 'drift',
    request,
    rotatedAt: isoOrNull(record.rotatedAt),
    nextRotationAt: isoOrNull(dueAt),
    error: { code, message, httpStatus },
    nextAttemptAt: isoOrNull(dueAt),
    linkUncertain: record.uncertain !== null,
  };
  return { record: failed, events: [event] };
}

/** When the link is to be read back next; null: there is nothing to compare, or nobody wants it. */
export function verificationAt(record: GroupRecord, rules: GroupRules): number | null {
  if (record.jid === null || record.link === null || record.duplicateOf !== null) return null;
  const owedAt = record.uncertain === null ? record.verificationOwedAt : record.uncertain.readAt + orphanedMs;
  const seenAt = Math.max(record.verifiedAt ?? 0, record.rotatedAt ?? 0);
  const periodicAt = rules.verifyEveryMs === null || record.revision === null ? null : seenAt + rules.verifyEveryMs;
  if (owedAt === null || periodicAt === null) return owedAt ?? periodicAt;
  return Math.min(owedAt, periodicAt);
}

interface Found {
  readonly type: 'link.rotated' | 'link.changed';
  readonly reason: 'schedule' | 'request' | 'recovery' | 'drift';
  /** The reset that made the link; null: it was not ours. */
  readonly from: { readonly begunAt: number; readonly request: Attempt['request'] } | null;
}

/** A new revision of the link and the event that tells of it: the one place where revisions are made. */
function publish(record: GroupRecord, link: NewLink, found: Found, nowMs: number, rules: GroupRules) {
  const revision = Math.max(nowMs, (record.revision ?? 0) + 1);
  const previous = { code: record.link?.code ?? null, revision: record.revision };
  const request = found.from?.request ?? null;
  const published: GroupRecord = {
    ...record,
    jid: link.jid,
    link: { code: link.code, url: link.url },
    revision,
    previous,
    rotatedAt: nowMs,
    resetBegunAt: found.from?.begunAt ?? null,
    verifiedAt: nowMs,
    unreadable: 0,
    failure: null,
    answered: request === null ? record.answered : [request.jobId, ...record.answered].slice(0, keptAnswers),
  };
  const event = {
    version: 1,
    id: `${rules.group}.${revision}`,
    type: found.type,
    group: rules.group,
    jid: link.jid,
    instance: rules.instance,
    inviteCode: link.code,
    inviteLink: link.url,
    previousInviteCode: previous.code,
    revision,
    previousRevision: previous.revision,
    reason: found.reason,
    request: request === null ? null : infoOf(request),
    rotatedAt: new Date(nowMs).toISOString(),
    nextRotationAt: isoOrNull(published.dueAt),
  } as LinkEvent;
  return { record: published, events: [event] };
}

function infoOf({ requestId, requestedBy, reason }: RequestInfo): RequestInfo {
  return { requestId, requestedBy, reason };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
