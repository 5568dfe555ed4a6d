/**
 * What becomes of a group's record by all that can happen to it; what may be done next is decided in `decide.ts`. Pure: a
 * record and Redis's clock go in, a new record and its events come out; `call.ts` and `rotate.ts` do what is decided, and
 * `groups/store.ts` makes each change one atomic step. What the file says of the group is
 * part of the record, so what is committed is committed by the newest registration, whatever file a worker has read.
 *
 * A record's attempt is lock, fence and write-ahead note in one:
 *
 *   state            recorded as                  what may happen next
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   new              `adopt`                      adopt: the link is read and published before anything else
 *   at rest          no attempt, nothing          reset, verify
 *                    uncertain
 *   in flight        attempt, lease running       wait; its owner renews the lease, then ends it
 *   abandoned        attempt, lease past          expires: a reset becomes uncertain and open, a read is forgotten
 *   uncertain, open  uncertain, `openUntil` set   read back: changed → committed (`recovery`); unchanged → read again
 *                                                 until `openUntil`, then at rest
 *   uncertain, ended uncertain, no `openUntil`    read back once: changed → committed; unchanged → at rest
 *
 *   result           when                         the record afterwards
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   reset            a reset was answered         new link, higher revision, next due time, event; at rest. With a
 *                                                 code that the group had before: uncertain, ended
 *   read             a read was answered          as the state above says; a verification adopts a changed link
 *   rejected         the API refused it, or it    at rest
 *                    never left
 *   unknown          silence, 5xx, our own death  uncertain; one verification is owed after the settle time
 *
 *   The result of an attempt that does not own the record any more is dropped (`fenced`). If it was a reset that may have
 *   had an effect, a verification is owed at once, and the group is uncertain, whatever call is in flight: a stale reset
 *   is read back, so its link is published as recovery.
 *
 * Not decided here: whether a call may be sent now (the budget's business), and how often a job may fail.
 */
import type { Attempt, GroupRecord } from '../groups/record.ts';
import { meanPeriodMs, nextDue } from '../schedule/schedule.ts';
import { owns } from './decide.ts';
import { failureEvent, isReplaced, type NewLink, newRevision } from './revision.ts';
import type { Failure, Input, Outcome, Result, Work } from './types.ts';

/** Time between two read-backs of a call that is still open: doubling between these. */
const readBackMs = { first: 2_000, max: 15_000 };
/** Time after a read-back that failed: doubling between these. */
const failedReadMs = { first: 500, max: 15_000 };
/** Between failures of one group: doubling between these, and never longer than its period. */
const failureMs = { first: 5 * 60_000, max: 24 * 3_600_000 };
const verificationRetryMs = 60_000;

/** The one way in which a record changes by what happens. `settleTimeMs`: the configuration's `api.settleTime`. */
export function transition(record: GroupRecord, input: Input, nowMs: number, settleTimeMs: number): Outcome {
  switch (input.kind) {
    case 'started':
      return silent(start(record, input.attempt));
    case 'renewed':
      return silent(owns(record, input.id) ? renew(record, input.leaseUntil) : record);
    case 'expired':
      return silent(expire(record, nowMs, settleTimeMs));
    case 'ended':
      return end(record, input.attempt, input.result, nowMs, settleTimeMs);
    case 'postponed':
      return silent(postpone(record, nowMs));
    case 'gaveUp':
      return giveUp(record, input.work, input.failure, nowMs);
    case 'refused':
      return report({ ...record, failures: record.failures + 1 }, input.work, input.failure);
  }
}

function silent(record: GroupRecord): Outcome {
  return { record, events: [], fenced: false };
}

/** Takes a group away from a process that let its lease run out. */
function expire(record: GroupRecord, nowMs: number, settleTimeMs: number): GroupRecord {
  const { attempt } = record;
  if (attempt === null || nowMs < attempt.leaseUntil) return record;
  if (attempt.call !== 'reset') return releaseAttempt(record);
  return becomeUncertain(record, attempt, false, nowMs, settleTimeMs);
}

function start(record: GroupRecord, attempt: Attempt): GroupRecord {
  return { ...record, attempts: record.attempts + 1, attempt };
}

function renew(record: GroupRecord, leaseUntil: number): GroupRecord {
  return record.attempt === null ? record : { ...record, attempt: { ...record.attempt, leaseUntil } };
}

function end(record: GroupRecord, attempt: Attempt, result: Result, nowMs: number, settleTimeMs: number): Outcome {
  // Ended before: the reply to that was lost.
  if (record.settled === attempt.id) return silent(record);
  if (!owns(record, attempt.id)) {
    const harmless = attempt.call !== 'reset' || (result.kind !== 'reset' && result.kind !== 'unknown');
    return { ...silent(harmless ? record : staleReset(record, attempt, nowMs)), fenced: true };
  }
  switch (result.kind) {
    case 'reset': {
      const isOld = result.link.code === record.link?.code || isReplaced(record, result.link.code);
      if (!isOld) return commitReset(record, attempt, result.link, nowMs);
      return { ...silent(becomeUncertain(record, attempt, true, nowMs, settleTimeMs)), repeated: true };
    }
    case 'read':
      return attempt.call === 'readBack'
        ? settleReadBack(record, attempt, result.link, nowMs)
        : settleVerification(record, attempt, result.link, nowMs);
    case 'rejected':
      return silent(releaseAttempt(record));
    case 'unknown': {
      const open = attempt.call === 'reset';
      return silent(open ? becomeUncertain(record, attempt, result.over, nowMs, settleTimeMs) : releaseAttempt(record));
    }
  }
}

/** Nothing changed on the other side. */
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
    uncertain: {
      begunAt: attempt.begunAt,
      openUntil: over ? null : settledAt,
      readAt: nowMs,
      reads: 0,
      failedReads: 0,
      request: attempt.request,
      covers: attempt.covers,
    },
    verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, settledAt),
  };
}

/** A reset may have had an effect, but the record is no longer its own: look at once what the link is. */
function staleReset(record: GroupRecord, attempt: Attempt, nowMs: number): GroupRecord {
  const owed = { ...record, verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, nowMs) };
  const { uncertain } = record;
  // A read that is under way began too early to tell.
  if (uncertain !== null) {
    const openUntil = Math.max(uncertain.openUntil ?? 0, nowMs);
    return { ...owed, uncertain: { ...uncertain, openUntil, readAt: Math.min(uncertain.readAt, nowMs) } };
  }
  // Also while another call is in flight: whatever that one is, a link that is seen after it may be this one's.
  const { begunAt, request, covers } = attempt;
  return {
    ...owed,
    uncertain: { begunAt, openUntil: null, readAt: nowMs, reads: 0, failedReads: 0, request, covers },
  };
}

/** The next scheduled rotation after one that was made now. */
function dueAfter(record: GroupRecord, nowMs: number): number | null {
  return record.entry?.enabled === true ? nextDue(record.entry.schedule, nowMs) : null;
}

function commitReset(record: GroupRecord, attempt: Attempt, link: NewLink, nowMs: number): Outcome {
  const reason = attempt.request === null ? 'schedule' : 'request';
  const from = { begunAt: attempt.begunAt, request: attempt.request, covers: attempt.covers };
  const made = { type: 'link.rotated', reason, from } as const;
  const times = { dueAt: dueAfter(record, nowMs), readDueAt: owedAfter(record.readDueAt, attempt) };
  return newRevision({ ...releaseAttempt(record), ...times }, link, made, nowMs);
}

/** The link was read back after an uncertain reset. */
function settleReadBack(record: GroupRecord, attempt: Attempt, link: NewLink | null, nowMs: number): Outcome {
  const { uncertain } = record;
  const free = releaseAttempt(record);
  if (uncertain === null) return silent(free);
  const isOver = uncertain.openUntil === null || attempt.begunAt >= uncertain.openUntil;
  const pauseMs = Math.min(readBackMs.first * 2 ** uncertain.reads, readBackMs.max);
  const readAt = isOver ? nowMs : Math.min(nowMs + pauseMs, uncertain.openUntil ?? nowMs);
  const unchanged = isOver ? null : { ...uncertain, readAt, reads: uncertain.reads + 1, failedReads: 0 };

  if (link === null || link.code === record.link?.code || isReplaced(record, link.code)) {
    return silent({ ...free, uncertain: unchanged });
  }
  if (record.link === null) {
    // No link was ever shown before, so nobody can tell whose this one is: it is live, and settles nothing.
    return newRevision({ ...free, uncertain: unchanged }, link, adopted, nowMs);
  }
  const from = { begunAt: uncertain.begunAt, request: uncertain.request, covers: uncertain.covers };
  const settled = { ...free, uncertain: null, dueAt: dueAfter(record, nowMs) };
  return newRevision(settled, link, { type: 'link.rotated', reason: 'recovery', from }, nowMs);
}

const adopted = { type: 'link.changed', reason: 'adopted', from: null } as const;
const drift = { type: 'link.changed', reason: 'drift', from: null } as const;

/** The link was read although nothing was uncertain. */
function settleVerification(record: GroupRecord, attempt: Attempt, link: NewLink | null, nowMs: number): Outcome {
  const free = releaseAttempt(record);
  // What became uncertain while we read is settled first, and then read once more.
  if (record.uncertain !== null) return silent(free);
  // What was live some time ago: a cache is between us and the server.
  if (link !== null && isReplaced(record, link.code)) return silent(postpone(free, nowMs));
  const read = {
    ...free,
    adopt: false,
    readDueAt: owedAfter(record.readDueAt, attempt),
    verifiedAt: nowMs,
    verificationOwedAt: owedAfter(record.verificationOwedAt, attempt),
    unverified: link === null ? record.unverified + 1 : 0,
    failure: record.adopt ? null : record.failure,
  };
  if (link === null && record.adopt && record.revision !== null) {
    // Nobody was told of it under this id: the next link that is shown is published, be it the same.
    const held = { code: record.link?.code ?? null, revision: record.revision };
    return silent({ ...read, link: null, predecessor: record.predecessor ?? held });
  }
  if (link === null) return silent(read);
  if (record.adopt || record.link === null) return newRevision(read, link, adopted, nowMs);
  if (link.code === record.link.code) return silent(read);
  return newRevision(read, link, drift, nowMs);
}

/** What a call that began before a read was owed, and ends after, leaves owed. */
function owedAfter(owedAt: number | null, { begunAt }: Attempt): number | null {
  return owedAt !== null && begunAt >= owedAt ? null : owedAt;
}

/** A read was refused or unanswered: nothing is known, and it is tried again later. Its attempt has ended before. */
function postpone(record: GroupRecord, nowMs: number): GroupRecord {
  const laterMs = nowMs + verificationRetryMs;
  const { uncertain } = record;
  if (uncertain !== null) {
    const pauseMs = Math.min(failedReadMs.first * 2 ** Math.min(uncertain.failedReads, 20), failedReadMs.max);
    return { ...record, uncertain: { ...uncertain, readAt: nowMs + pauseMs, failedReads: uncertain.failedReads + 1 } };
  }
  return {
    ...record,
    verifiedAt: record.adopt ? record.verifiedAt : nowMs,
    unverified: record.unverified + 1,
    readDueAt: record.readDueAt === null ? null : laterMs,
    verificationOwedAt: record.verificationOwedAt === null ? null : Math.max(record.verificationOwedAt, laterMs),
  };
}

/** Gives up for now, says why, and sets the next try. */
function giveUp(record: GroupRecord, work: Work, failure: Failure, nowMs: number): Outcome {
  const count = (record.failure?.count ?? 0) + 1;
  const { entry } = record;
  const periodMs = entry === null ? failureMs.max : meanPeriodMs(entry.schedule);
  const retryAt = nowMs + Math.min(failureMs.first * 2 ** Math.min(count - 1, 20), failureMs.max, periodMs);
  // A failed one-off leaves the schedule alone, unless it leaves behind a link that may be dead.
  const moves = work.kind === 'scheduled' || (record.uncertain !== null && retryAt < (record.dueAt ?? 0));
  const dueAt = record.dueAt !== null && moves ? retryAt : record.dueAt;
  const readDueAt = work.kind !== 'request' && record.adopt ? retryAt : record.readDueAt;
  const nextAttemptAt = work.kind === 'verification' ? readDueAt : dueAt;
  const { code, message, httpStatus } = failure;
  const failed = {
    ...record,
    dueAt,
    readDueAt,
    failures: record.failures + 1,
    failure: { code, message, httpStatus, at: nowMs, count, nextAttemptAt },
  };
  return report(failed, work, failure);
}

function report(record: GroupRecord, work: Work, failure: Failure): Outcome {
  const event = failureEvent(record, work, failure);
  return { record, events: event === null ? [] : [event], fenced: false };
}
