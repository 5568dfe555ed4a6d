/**
 * What is due for a group next; `transition.ts` lists the states and says what follows. Pure. Decided once when a job
 * looks at the record, and again in one step with the write that records an attempt.
 */
import { type Covers, type GroupRecord, isRegistered, isScheduled, knownLink, takesReads } from '../groups/record.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { isReplaced } from './revision.ts';
import type { OneOff, Step, Work } from './types.ts';

/** How long to wait before looking again at a group that another job works on. */
const busyPollMs = 250;
/** Jobs wait no longer than this for a read-back: the longer pauses of a group that is not read concern the settler. */
const maxSettlingMs = 15_000;
/** Between resets for one-offs: those that arrive in the meantime, as in a burst, are answered together. */
const burstMs = 1_000;
/** How far producers' clocks may differ from Redis's. */
const clockSkewMs = 60_000;

/** `record`: after the input `expired`. */
export function decide(record: GroupRecord, work: Work, nowMs: number): Step {
  if (work.kind === 'request' && failedReason(record, work) !== null) return { do: 'finish', as: 'failed' };
  if (record.attempt !== null) {
    return { do: 'wait', ms: Math.min(record.attempt.leaseUntil - nowMs, busyPollMs), why: 'busy' };
  }
  // First of all: no work is obsolete while something is unsettled.
  if (record.uncertain !== null) {
    const waitMs = record.uncertain.readAt - nowMs;
    const waits = waitMs > 0 && (work.kind === 'verification' || waitMs <= maxSettlingMs);
    if (waits) return { do: 'wait', ms: waitMs, why: 'settling' };
    return { do: 'readBack' };
  }
  switch (work.kind) {
    case 'verification':
      return decideVerification(record, nowMs);
    case 'scheduled':
      if (!isScheduled(record) || record.dueAt !== work.dueAt || !isWindowOpen(record, nowMs)) {
        return { do: 'finish', as: 'obsolete' };
      }
      break;
    case 'request':
      if (isAnswered(record, work, nowMs)) return { do: 'finish', as: 'answered' };
      if (isLinkReplaced(record, work.link)) return { do: 'finish', as: 'replaced' };
      if (!isRegistered(record)) return { do: 'finish', as: 'unregistered' };
      if (record.duplicateOf !== null) return { do: 'finish', as: 'duplicate' };
      if (isBurst(record, nowMs)) return { do: 'wait', ms: (record.resetBegunAt ?? 0) + burstMs - nowMs, why: 'burst' };
  }
  if (record.adopt) return { do: 'adopt' };
  const waitMs = (record.resetsFrom ?? 0) - nowMs;
  return waitMs > 0 ? { do: 'wait', ms: waitMs, why: 'settling' } : { do: 'reset' };
}

function decideVerification(record: GroupRecord, nowMs: number): Step {
  const owed = record.verificationOwedAt !== null && record.verificationOwedAt <= nowMs;
  if (!takesReads(record)) return owed && record.jid !== null ? { do: 'verify' } : { do: 'finish', as: 'obsolete' };
  return { do: record.adopt ? 'adopt' : 'verify' };
}

/** A job may have waited until its window closed. */
function isWindowOpen({ entry }: GroupRecord, nowMs: number): boolean {
  return entry === null || slideIntoWindow(entry.schedule, nowMs) === nowMs;
}

/** A reset with a later time than now started before the clock was set back: its age is unknown. */
function isBurst({ resetBegunAt }: GroupRecord, nowMs: number): boolean {
  return resetBegunAt !== null && resetBegunAt <= nowMs && nowMs < resetBegunAt + burstMs;
}

/**
 * Whether a reset has answered the one-off. The link that it names is never its answer. Judged by counts, which only grow;
 * by the clock only if the one-off has a time without a count and the clock was not set back.
 */
export function isAnswered(record: GroupRecord, work: Omit<OneOff, 'kind' | 'request'>, nowMs: number): boolean {
  const { revision, resetBegunAt, resetCovers } = record;
  if (revision === null || knownLink(record) === null || record.link?.code === work.link?.code) return false;
  if (record.answered.includes(work.identity)) return true;
  if (resetBegunAt === null) return false;
  if (resetCovers?.others?.includes(work.identity)) return true;
  if (work.attemptsSeen !== null && resetCovers?.attempt !== undefined) return resetCovers.attempt > work.attemptsSeen;
  const covered = resetCovers !== null && work.position !== null;
  if (covered && isCovered(work.position, resetCovers, resetBegunAt)) return true;
  return work.requestedAt !== null && resetBegunAt <= nowMs && resetBegunAt >= work.requestedAt;
}

/**
 * Whether a one-off that is about to fail must not: it was answered meanwhile, another worker has taken it over, or its
 * group's id names another WhatsApp group, so that no event would report its failure.
 */
export function mayNotFail(record: GroupRecord, work: Work, nowMs: number): boolean {
  if (work.kind !== 'request') return false;
  const { entry, replaced, attempt, uncertain } = record;
  if (entry === null || replaced) return true;
  if (attempt?.request?.identity === work.identity && nowMs < attempt.leaseUntil) return true;
  return uncertain === null && isAnswered(record, work, nowMs);
}

/** Why the one-off has failed before. Null: it has not, or long ago. */
export function failedReason({ failed }: GroupRecord, { identity }: Pick<OneOff, 'identity'>): string | null {
  return failed.find((one) => one.identity === identity)?.reason ?? null;
}

/** Whether a one-off that names this link needs no reset: the group has another link, which can be returned. */
export function isLinkReplaced(record: GroupRecord, link: OneOff['link']): boolean {
  if (link === null || record.adopt || knownLink(record) === null || record.link?.code === link.code) return false;
  return link.isReplaced || isReplaced(record, link.code);
}

/** Whether the job was on its queue before the reset started. Needs no clock, unless an older version noted the reset. */
function isCovered(
  position: NonNullable<OneOff['position']>,
  { queue, lastJob, count }: Covers,
  begunAt: number,
): boolean {
  if (position.queue !== queue || position.number > lastJob || position.newest < lastJob) return false;
  return count === undefined ? position.pushedAt <= begunAt + clockSkewMs : position.count === count;
}

/** Whether this attempt still owns the record. One that does not may neither send nor commit. */
export function owns(record: GroupRecord, attemptId: string): boolean {
  return record.attempt?.id === attemptId;
}
