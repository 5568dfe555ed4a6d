/**
 * What each input makes of a group's record; `decide.ts` says what is due next. Pure: a record and Redis's clock go in, a
 * new record and its events come out. `call.ts` and `rotate.ts` do what is decided, and `groups/store.ts` makes each
 * change one atomic step. The file's entry is part of the record, so a commit goes by the newest registration, whatever
 * file a worker has read.
 *
 * A record's attempt is lock, fence and write-ahead note in one:
 *
 *   state            recorded as                  what may happen next
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   new              `adopt`                      adopt: the link is read and published before anything else
 *   at rest          no attempt, nothing          reset, verify
 *                    uncertain
 *   in flight        attempt, lease running       wait; its owner renews the lease, then ends it
 *   abandoned        attempt, lease expired       a reset becomes uncertain and open, a read is forgotten
 *   uncertain, open  uncertain, `openUntil` set   read back: changed → committed (`recovery`); unchanged → read again
 *                                                 until `openUntil`, then at rest
 *   uncertain, ended uncertain, no `openUntil`    read back once: changed → committed; unchanged → at rest
 *
 *   outcome          when                         the record afterwards
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   reset            a reset was answered         new link, higher revision, next due time, event; at rest. With a
 *                                                 code that the group had before: uncertain, ended
 *   read             a read was answered          as the state above says; a verification publishes a changed link,
 *                                                 as `recovery` if it may be an earlier reset's, else as `drift`
 *   rejected         the API refused the call     at rest
 *   notSent, null    it never left                at rest
 *   unknown          silence, 5xx, own death      uncertain; one verification is owed after the settle time
 *
 *   The outcome of an attempt that no longer owns the record is dropped (`fenced`). If it was a reset that may have had an
 *   effect, a verification is owed at once and the group is uncertain, whatever call is in flight: the stale reset is read
 *   back, so its link is published as recovery.
 *
 * Not decided here: whether a call may be sent now (the budget decides), and how often a job may fail.
 */
import { doubled } from '../doubled.ts';
import type { Attempt, GroupRecord, Uncertain } from '../groups/record.ts';
import { type CallOutcome, type Failure, reasonOf } from '../ryze/outcome.ts';
import { meanPeriodMs, nextDue } from '../schedule/schedule.ts';
import { failedReason, mayNotFail, owns } from './decide.ts';
import { failureEvent, isReplaced, newRevision } from './revision.ts';
import type { Input, Transition, Work } from './types.ts';

/** A read of the group. */
type Reading = CallOutcome & { readonly kind: 'read' };

/** Between two read-backs of a call that is still open: doubles from `first` to `max`. */
const readBackMs = { first: 2_000, max: 15_000 };
/** After a read-back that failed: doubles from `first` to `max`, or further if the API refuses to read the group. */
const failedReadMs = { first: 500, max: 15_000, maxRefused: 3_600_000 };
/** Reads without an answer that count: the pause is `failedReadMs.max` then. */
const maxUnanswered = 5;
/** After a first read that failed: doubles from `first` to `verificationRetryMs`. */
const failedFirstReadMs = 2_000;
/** Between failures of one group: doubles from `first` to `max`, and is never longer than the group's period. */
const failureMs = { first: 5 * 60_000, max: 24 * 3_600_000 };
const verificationRetryMs = 60_000;

/** `settleTimeMs`: the configuration's `api.settleTime`. */
export function transition(record: GroupRecord, input: Input, nowMs: number, settleTimeMs: number): Transition {
  switch (input.kind) {
    case 'started':
      return silent(start(record, input.attempt));
    case 'renewed':
      return silent(owns(record, input.id) ? renew(record, input.leaseUntil) : record);
    case 'expired':
      return silent(expire(record, nowMs, settleTimeMs));
    case 'ended':
      return end(record, input.attempt, input.outcome, nowMs, settleTimeMs);
    case 'postponed':
      return silent(postpone(record, nowMs, input.isRefused));
    case 'gaveUp':
    case 'refused':
      return fail(record, input, nowMs);
  }
}

function silent(record: GroupRecord): Transition {
  return { record, events: [], fenced: false };
}

/** Ends the attempt of a process that let its lease expire. */
function expire(record: GroupRecord, nowMs: number, settleTimeMs: number): GroupRecord {
  const { attempt } = record;
  if (attempt === null || nowMs < attempt.leaseUntil) return record;
  if (attempt.call !== 'reset') return releaseAttempt(record);
  return becomeUncertain(record, attempt, false, nowMs, settleTimeMs);
}

function start(record: GroupRecord, attempt: Attempt): GroupRecord {
  // Cleared as soon as it is over: it must not be in the future again if the clock is set back.
  const { resetsFrom } = record;
  const isOver = resetsFrom !== null && attempt.begunAt >= resetsFrom;
  return { ...record, attempts: record.attempts + 1, attempt, resetsFrom: isOver ? null : resetsFrom };
}

function renew(record: GroupRecord, leaseUntil: number): GroupRecord {
  return record.attempt === null ? record : { ...record, attempt: { ...record.attempt, leaseUntil } };
}

function end(
  record: GroupRecord,
  attempt: Attempt,
  outcome: CallOutcome | null,
  nowMs: number,
  settleTimeMs: number,
): Transition {
  // It ended before: the reply to that was lost.
  if (record.settled === attempt.id) return silent(record);
  const mayHaveReset = attempt.call === 'reset' && (outcome?.kind === 'reset' || outcome?.kind === 'unknown');
  if (!owns(record, attempt.id)) {
    return { ...silent(mayHaveReset ? staleReset(record, attempt, nowMs) : record), fenced: true };
  }
  switch (outcome?.kind) {
    case 'reset': {
      const { inviteCode } = outcome;
      // The one-off may name a link that the record never had.
      const isCurrent = inviteCode === record.link?.code || inviteCode === attempt.request?.link;
      if (!isCurrent && !isReplaced(record, inviteCode)) return commitReset(record, attempt, outcome, nowMs);
      return { ...silent(becomeUncertain(record, attempt, true, nowMs, settleTimeMs)), repeated: true };
    }
    case 'read':
      return attempt.call === 'readBack'
        ? settleReadBack(record, attempt, outcome, nowMs)
        : settleVerification(record, attempt, outcome, nowMs);
    case 'unknown':
      if (mayHaveReset) return silent(becomeUncertain(record, attempt, outcome.over, nowMs, settleTimeMs));
  }
  return silent(releaseAttempt(record));
}

/** Nothing changed in WhatsApp. */
function releaseAttempt(record: GroupRecord): GroupRecord {
  return { ...record, attempt: null, settled: record.attempt?.id ?? record.settled };
}

function becomeUncertain(
  record: GroupRecord,
  attempt: Attempt,
  over: boolean,
  nowMs: number,
  settleTimeMs: number,
): GroupRecord {
  const settledAt = attempt.begunAt + settleTimeMs;
  return {
    ...releaseAttempt(record),
    uncertain: uncertainOf(record, attempt, over ? null : settledAt, nowMs),
    verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, settledAt),
  };
}

function uncertainOf(
  { unseenResetAt }: GroupRecord,
  { begunAt, request, covers }: Attempt,
  openUntil: number | null,
  readAt: number,
): Uncertain {
  const times = { openUntil, readAt, reads: 0, failedReads: 0 };
  if (unseenResetAt === null) return { ...times, begunAt, request, covers };
  // A new link may be the earlier reset's, and older than the one-offs of this one: it answers none of them.
  return { ...times, begunAt: Math.min(unseenResetAt, begunAt), request: null, covers: null };
}

/** A reset may have had an effect, but no longer owns the record: the link is read at once. */
function staleReset(record: GroupRecord, stale: Attempt, nowMs: number): GroupRecord {
  // If Redis was emptied since, jobs and attempts count from 1 again: those of the same numbers are newer.
  const isForgotten = record.entry === null || record.resetsFrom !== null;
  const attempt = isForgotten ? { ...stale, covers: null } : stale;
  const owed = { ...record, verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, nowMs) };
  const { uncertain } = record;
  // Also while another call is in flight: a link that is seen after that call may be this reset's.
  if (uncertain === null) return { ...owed, uncertain: uncertainOf(record, attempt, null, nowMs) };
  // A read in flight started too early to tell.
  const openUntil = Math.max(uncertain.openUntil ?? 0, nowMs);
  return { ...owed, uncertain: { ...uncertain, openUntil, readAt: Math.min(uncertain.readAt, nowMs) } };
}

/** The next scheduled rotation after one that was made now. */
function dueAfter(record: GroupRecord, nowMs: number): number | null {
  return record.entry?.enabled === true ? nextDue(record.entry.schedule, nowMs) : null;
}

function commitReset(
  record: GroupRecord,
  attempt: Attempt,
  outcome: CallOutcome & { readonly kind: 'reset' },
  nowMs: number,
): Transition {
  const times = { dueAt: dueAfter(record, nowMs), readDueAt: owedAfter(record.readDueAt, attempt) };
  const reason = attempt.request === null ? 'schedule' : 'request';
  return newRevision({ ...releaseAttempt(record), ...times }, outcome, reason, attempt, nowMs);
}

/** The link was read back after an uncertain reset. */
function settleReadBack(
  record: GroupRecord,
  attempt: Attempt,
  { jid, inviteCode }: Reading,
  nowMs: number,
): Transition {
  const { uncertain } = record;
  const free = releaseAttempt(record);
  if (uncertain === null) return silent(free);
  const isOver = uncertain.openUntil === null || attempt.begunAt >= uncertain.openUntil;
  const pauseMs = doubled(readBackMs.first, uncertain.reads, readBackMs.max);
  const readAt = isOver ? nowMs : Math.min(nowMs + pauseMs, uncertain.openUntil ?? nowMs);
  const unchanged = isOver ? null : { ...uncertain, readAt, reads: uncertain.reads + 1, failedReads: 0 };

  if (inviteCode === null || inviteCode === record.link?.code || isReplaced(record, inviteCode)) {
    // A read after the settle time comes from no cache.
    const unseenResetAt = uncertain.openUntil === null ? uncertain.begunAt : null;
    return silent({ ...free, uncertain: unchanged, unseenResetAt });
  }
  if (record.link === null || inviteCode === uncertain.request?.link) {
    // Either no link was ever shown before, so it is unknown who made this one; or a person made it, and the reset was to
    // replace it. It is live, and settles nothing.
    const reason = record.link === null ? 'adopted' : 'drift';
    return newRevision({ ...free, uncertain: unchanged }, { jid, inviteCode }, reason, null, nowMs);
  }
  const settled = { ...free, uncertain: null, dueAt: dueAfter(record, nowMs) };
  return newRevision(settled, { jid, inviteCode }, 'recovery', uncertain, nowMs);
}

/** The link was read while nothing was uncertain. */
function settleVerification(
  record: GroupRecord,
  attempt: Attempt,
  { jid, inviteCode }: Reading,
  nowMs: number,
): Transition {
  const free = releaseAttempt(record);
  // What became uncertain during the read is settled first, by a read of its own.
  if (record.uncertain !== null) return silent(free);
  // The answer is old: a cache is between this program and the server.
  if (inviteCode !== null && isReplaced(record, inviteCode)) return silent(postpone(free, nowMs));
  const verificationOwedAt = owedAfter(record.verificationOwedAt, attempt);
  const read = {
    ...free,
    adopt: false,
    readDueAt: owedAfter(record.readDueAt, attempt),
    verifiedAt: nowMs,
    verificationOwedAt,
    unseenResetAt: verificationOwedAt === null ? null : record.unseenResetAt,
    unverified: inviteCode === null ? record.unverified + 1 : 0,
    failure: record.adopt ? null : record.failure,
  };
  if (inviteCode === null && record.adopt && record.revision !== null) {
    // The link was never published under this id: the next link that is shown is published, even if it is the same.
    const held = { code: record.link?.code ?? null, revision: record.revision };
    return silent({ ...read, link: null, predecessor: record.predecessor ?? held });
  }
  if (inviteCode === null) return silent(read);
  const isNew = record.adopt || record.link === null;
  if (!isNew && inviteCode === record.link?.code) return silent(read);
  if (isNew || record.unseenResetAt === null) {
    return newRevision(read, { jid, inviteCode }, isNew ? 'adopted' : 'drift', null, nowMs);
  }
  // It took effect late, or a cache hid that.
  const unseen = { begunAt: record.unseenResetAt, request: null, covers: null };
  return newRevision({ ...read, dueAt: dueAfter(record, nowMs) }, { jid, inviteCode }, 'recovery', unseen, nowMs);
}

/** What is still owed after a call: a read pays only what was owed when it started. */
function owedAfter(owedAt: number | null, { begunAt }: Attempt): number | null {
  return owedAt !== null && begunAt >= owedAt ? null : owedAt;
}

/** A read failed: nothing is known, and it is tried again later. Its attempt has ended before. */
function postpone(record: GroupRecord, nowMs: number, isRefused = false): GroupRecord {
  const { uncertain, unverified } = record;
  const laterMs =
    nowMs + doubled(record.adopt ? failedFirstReadMs : verificationRetryMs, unverified, verificationRetryMs);
  if (uncertain !== null) {
    const { failedReads, readAt } = uncertain;
    // A job has read it before its time. However many jobs do so, the pause is no longer than the API refused before it.
    if (isRefused && nowMs < readAt) return record;
    const pauseMs = doubled(failedReadMs.first, failedReads, isRefused ? failedReadMs.maxRefused : failedReadMs.max);
    // An outage that precedes a refusal does not lengthen the pause after it.
    const count = isRefused ? failedReads + 1 : Math.max(failedReads, Math.min(failedReads + 1, maxUnanswered));
    return { ...record, uncertain: { ...uncertain, readAt: nowMs + pauseMs, failedReads: count } };
  }
  return {
    ...record,
    verifiedAt: record.adopt ? record.verifiedAt : nowMs,
    unverified: unverified + 1,
    readDueAt: record.readDueAt === null ? null : laterMs,
    verificationOwedAt: record.verificationOwedAt === null ? null : Math.max(record.verificationOwedAt, laterMs),
  };
}

/** The failure of a one-off is reported once: its job may run again after a crash, or the reply to this step be lost. */
function fail(record: GroupRecord, input: Input & { kind: 'gaveUp' | 'refused' }, nowMs: number): Transition {
  const { work, failure } = input;
  if (work.kind === 'request' && failedReason(record, work) !== null) return silent(record);
  if (input.kind === 'refused') return report(record, work, failure, input.reason);
  if (mayNotFail(record, work, nowMs)) return silent(record);
  return report(giveUp(record, work, failure, nowMs), work, failure, reasonOf(failure));
}

/** The rotation has failed: sets the next try. */
function giveUp(record: GroupRecord, work: Work, failure: Failure, nowMs: number): GroupRecord {
  const count = (record.failure?.count ?? 0) + 1;
  const since = record.failure?.since ?? record.failure?.at ?? nowMs;
  const { entry } = record;
  const periodMs = entry === null ? failureMs.max : meanPeriodMs(entry.schedule);
  const retryAt = nowMs + doubled(failureMs.first, count - 1, Math.min(failureMs.max, periodMs));
  // A failed one-off does not move the schedule, unless it leaves behind a link that may be dead.
  const moves = work.kind === 'scheduled' || (record.uncertain !== null && retryAt < (record.dueAt ?? 0));
  const dueAt = record.dueAt !== null && moves ? retryAt : record.dueAt;
  const reads = work.kind !== 'request' && record.adopt;
  const readDueAt = reads ? retryAt : record.readDueAt;
  // Otherwise the settler would read again at once, without end.
  const owedAt = record.verificationOwedAt;
  const verificationOwedAt = reads && owedAt !== null ? Math.max(owedAt, retryAt) : owedAt;
  const nextAttemptAt = work.kind === 'verification' ? readDueAt : dueAt;
  const { code, message, httpStatus } = failure;
  return {
    ...record,
    dueAt,
    readDueAt,
    verificationOwedAt,
    failure: { code, message, httpStatus, at: nowMs, since, count, nextAttemptAt },
  };
}

/** How many failed jobs a record remembers, for runs that overlap. `groups/failedOneOffs.ts` remembers all. */
const maxFailed = 16;

function report(record: GroupRecord, work: Work, failure: Failure, reason: string): Transition {
  const { failed } = record;
  const reported = {
    ...record,
    failures: record.failures + 1,
    failed: work.kind === 'request' ? [{ identity: work.identity, reason }, ...failed].slice(0, maxFailed) : failed,
  };
  const event = failureEvent(reported, work, failure);
  return { record: reported, events: event === null ? [] : [event], fenced: false };
}
