/**
 * What may be done with a group next (`decide`), and what becomes of its record by all that can happen to it
 * (`transition`). Pure: a record and Redis's clock go in, a new record and its events come out; `call.ts` and `rotate.ts`
 * do what is decided here, and `groups/store.ts` makes each change one atomic step.
 *
 * A record's attempt is lock, fence and write-ahead note in one:
 *
 *   state            how it is told               what may happen next
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   at rest          no attempt, nothing          resolve (no JID yet), reset, verify
 *                    uncertain
 *   in flight        attempt, lease running       wait; its owner renews the lease, then ends it
 *   abandoned        attempt, lease past          lapses: a reset becomes uncertain and open, a read is forgotten
 *   uncertain, open  uncertain, `openUntil` set   read back: changed → committed (`recovery`); unchanged → read again
 *                                                 until `openUntil`, then at rest; no known link → wait, then reset
 *   uncertain, ended uncertain, no `openUntil`    read back once: changed → committed; unchanged → at rest
 *
 *   an attempt ends  when                         the record afterwards
 *   ---------------  ---------------------------  ---------------------------------------------------------------
 *   made             a reset was answered         new link, higher revision, next due time, event; at rest
 *   read             a read was answered          as the state above says; a verification adopts a changed link
 *   resolved         a code's JID was read        the JID, and the link to compare with later; at rest
 *   noEffect         the API refused it, or it    at rest
 *                    never left
 *   unknown          silence, 5xx, our own death  uncertain; one verification is owed after the settle time
 *
 *   One that does not own the record any more ends in nothing (`fenced`). If it was a reset that may have had an effect,
 *   a verification is owed at once, and a group at rest is uncertain: what we reset out of turn is read back.
 *
 * Not decided here: whether a call may be sent now (the budget's business), and how often a job may fail.
 */
import type { Attempt, GroupRecord, RequestInfo } from '../groups/record.ts';
import type { LinkEvent } from '../results/event.ts';
import type { CallFailure } from '../ryze/outcome.ts';
import { failureEvent, type NewLink, newRevision } from './revision.ts';

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

/** How an attempt ended. */
export type Ending =
  | { readonly as: 'made'; readonly link: NewLink }
  /** null: no link was shown, so nothing is known. */
  | { readonly as: 'read'; readonly link: NewLink | null }
  /** `duplicateOf`: the group that has this JID already; null: none. */
  | {
      readonly as: 'resolved';
      readonly jid: string;
      readonly link: NewLink | null;
      readonly duplicateOf: string | null;
    }
  | { readonly as: 'noEffect' }
  /** `over`: the API has said that the call is over, so that it can take effect no more. */
  | { readonly as: 'unknown'; readonly over: boolean };

/** All that can happen to a group. */
export type Happening =
  | { readonly kind: 'begins'; readonly attempt: Attempt }
  /** Its process lives and works on it. */
  | { readonly kind: 'lives'; readonly id: string; readonly leaseUntil: number }
  | { readonly kind: 'ends'; readonly attempt: Attempt; readonly ending: Ending }
  /** Nobody has heard of the attempt's process until the lease ran out. */
  | { readonly kind: 'lapses' }
  /** A verification or read-back could not be done now. */
  | { readonly kind: 'postponed' }
  | { readonly kind: 'gaveUp'; readonly work: Work; readonly failure: Failure };

export interface Outcome {
  /** The same object where nothing changed. */
  readonly record: GroupRecord;
  readonly events: readonly LinkEvent[];
  /** The attempt that ended owned the record no more: nothing was stored for it. */
  readonly fenced: boolean;
}

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

/** What comes next for this work, of a record that `lapses` has seen. */
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

/** Whether this attempt still owns the record: nothing may be sent or ended by one that does not. */
export function owns(record: GroupRecord, attemptId: string): boolean {
  return record.attempt?.id === attemptId;
}

/** The one way in which a record changes by what happens. */
export function transition(record: GroupRecord, happening: Happening, nowMs: number, rules: GroupRules): Outcome {
  switch (happening.kind) {
    case 'begins':
      return silent(begin(record, happening.attempt));
    case 'lives':
      return silent(owns(record, happening.id) ? renew(record, happening.leaseUntil) : record);
    case 'lapses':
      return silent(lapse(record, nowMs, rules));
    case 'ends':
      return end(record, happening.attempt, happening.ending, nowMs, rules);
    case 'postponed':
      return silent(postpone(record, nowMs));
    case 'gaveUp':
      return giveUp(record, happening.work, happening.failure, nowMs, rules);
  }
}

function silent(record: GroupRecord): Outcome {
  return { record, events: [], fenced: false };
}

/** Takes a group out of the hands of a process that let its lease run out. */
function lapse(record: GroupRecord, nowMs: number, rules: GroupRules): GroupRecord {
  const { attempt } = record;
  if (attempt === null || nowMs < attempt.leaseUntil) return record;
  if (attempt.call !== 'reset') return letGo(record);
  return becomeUncertain(record, attempt, false, nowMs, rules);
}

function begin(record: GroupRecord, attempt: Attempt): GroupRecord {
  return {
    ...record,
    attempts: record.attempts + 1,
    attempt,
    // A reset begins on an uncertain group only where no read-back can tell anything: its own answer will.
    uncertain: attempt.call === 'reset' ? null : record.uncertain,
  };
}

function renew(record: GroupRecord, leaseUntil: number): GroupRecord {
  return record.attempt === null ? record : { ...record, attempt: { ...record.attempt, leaseUntil } };
}

function end(record: GroupRecord, attempt: Attempt, ending: Ending, nowMs: number, rules: GroupRules): Outcome {
  // Ended before: the reply to that was lost.
  if (record.settled === attempt.id) return silent(record);
  if (!owns(record, attempt.id)) {
    const harmless = attempt.call !== 'reset' || (ending.as !== 'made' && ending.as !== 'unknown');
    return { ...silent(harmless ? record : outOfTurn(record, attempt.begunAt, nowMs)), fenced: true };
  }
  switch (ending.as) {
    case 'made':
      return commitReset(record, attempt, ending.link, nowMs, rules);
    case 'read':
      return attempt.call === 'readBack'
        ? settleReadBack(record, attempt, ending.link, nowMs, rules)
        : settleVerification(record, attempt, ending.link, nowMs, rules);
    case 'resolved': {
      const link = ending.link === null ? record.link : { code: ending.link.code, url: ending.link.url };
      return silent({ ...letGo(record), jid: ending.jid, link, duplicateOf: ending.duplicateOf });
    }
    case 'noEffect':
      return silent(letGo(record));
    case 'unknown': {
      const open = attempt.call === 'reset';
      return silent(open ? becomeUncertain(record, attempt, ending.over, nowMs, rules) : letGo(record));
    }
  }
}

/** Nothing changed on the other side. */
function letGo(record: GroupRecord): GroupRecord {
  return { ...record, attempt: null, settled: record.attempt?.id ?? record.settled };
}

function becomeUncertain(
  record: GroupRecord,
  attempt: Attempt,
  over: boolean,
  nowMs: number,
  rules: GroupRules,
): GroupRecord {
  const settledAt = attempt.begunAt + rules.settleTimeMs;
  return {
    ...letGo(record),
    uncertain: {
      begunAt: attempt.begunAt,
      openUntil: over ? null : settledAt,
      readAt: nowMs,
      reads: 0,
      request: attempt.request,
    },
    verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, settledAt),
  };
}

/** A reset may have had an effect, but the record is no longer its own: look at once what the link is. */
function outOfTurn(record: GroupRecord, begunAt: number, nowMs: number): GroupRecord {
  const owed = { ...record, verificationOwedAt: Math.max(record.verificationOwedAt ?? 0, nowMs) };
  if (record.attempt !== null || record.uncertain !== null) return owed;
  return { ...owed, uncertain: { begunAt, openUntil: null, readAt: nowMs, reads: 0, request: null } };
}

function commitReset(record: GroupRecord, attempt: Attempt, link: NewLink, nowMs: number, rules: GroupRules): Outcome {
  const reason = attempt.request === null ? 'schedule' : 'request';
  const from = { begunAt: attempt.begunAt, request: attempt.request };
  const made = { type: 'link.rotated', reason, from } as const;
  return newRevision({ ...letGo(record), dueAt: rules.nextDue(nowMs) }, link, made, nowMs, rules);
}

/** The link was read back after an uncertain reset. */
function settleReadBack(
  record: GroupRecord,
  attempt: Attempt,
  link: NewLink | null,
  nowMs: number,
  rules: GroupRules,
): Outcome {
  const { uncertain } = record;
  const free = letGo(record);
  if (uncertain === null) return silent(free);
  if (link !== null && link.code !== record.link?.code) {
    const from = { begunAt: uncertain.begunAt, request: uncertain.request };
    const settled = { ...free, uncertain: null, dueAt: rules.nextDue(nowMs) };
    return newRevision(settled, link, { type: 'link.rotated', reason: 'recovery', from }, nowMs, rules);
  }
  if (uncertain.openUntil === null || attempt.begunAt >= uncertain.openUntil) {
    return silent({ ...free, uncertain: null });
  }
  const pauseMs = Math.min(readBackMs.first * 2 ** uncertain.reads, readBackMs.most);
  const readAt = Math.min(nowMs + pauseMs, uncertain.openUntil);
  return silent({ ...free, uncertain: { ...uncertain, readAt, reads: uncertain.reads + 1 } });
}

/** The link was read back although nothing was uncertain. */
function settleVerification(
  record: GroupRecord,
  attempt: Attempt,
  link: NewLink | null,
  nowMs: number,
  rules: GroupRules,
): Outcome {
  const owed = record.verificationOwedAt;
  const verified = {
    ...letGo(record),
    verifiedAt: nowMs,
    // A call that was added to the debt while we read is not paid by a read that began before it.
    verificationOwedAt: owed !== null && attempt.begunAt >= owed ? null : owed,
    unreadable: link === null ? record.unreadable + 1 : 0,
  };
  if (link === null || link.code === record.link?.code) return silent(verified);
  if (record.revision === null) return silent({ ...verified, link: { code: link.code, url: link.url } });
  return newRevision(verified, link, { type: 'link.changed', reason: 'drift', from: null }, nowMs, rules);
}

/** A read was refused or unanswered: nothing is known, and it is tried again later. Its attempt has ended before. */
function postpone(record: GroupRecord, nowMs: number): GroupRecord {
  const laterMs = nowMs + verificationRetryMs;
  return {
    ...record,
    verifiedAt: nowMs,
    verificationOwedAt: record.verificationOwedAt === null ? null : Math.max(record.verificationOwedAt, laterMs),
    uncertain: record.uncertain === null ? null : { ...record.uncertain, readAt: nowMs + readBackMs.most },
  };
}

/** Gives up for now, tells why, and sets the next try. */
function giveUp(record: GroupRecord, work: Work, failure: Failure, nowMs: number, rules: GroupRules): Outcome {
  const count = (record.failure?.count ?? 0) + 1;
  const pauseMs = Math.min(failureMs.first * 2 ** Math.min(count - 1, 20), failureMs.most, rules.periodMs);
  const retryAt = nowMs + pauseMs;
  // A failed one-off leaves the schedule alone, unless it leaves behind a link that may be dead.
  const moves = work.kind === 'scheduled' || (record.uncertain !== null && retryAt < (record.dueAt ?? 0));
  const dueAt = record.dueAt !== null && moves ? retryAt : record.dueAt;
  const { code, message, httpStatus } = failure;
  const failed = { ...record, dueAt, failure: { code, message, httpStatus, at: nowMs, count, nextAttemptAt: dueAt } };
  return { record: failed, events: [failureEvent(failed, work, failure, rules)], fenced: false };
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
