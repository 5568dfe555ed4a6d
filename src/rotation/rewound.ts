/**
 * A record after Redis's clock was set back. What was to happen some time after a call began would wait for as long again
 * as the clock was set back; it happens that time after now instead, which is never too early. The schedule itself goes by
 * the clock and stays. Pure.
 */
import type { GroupRecord } from '../groups/record.ts';

export interface Setback {
  /** The time that the clock showed when it was set back. */
  readonly beforeMs: number;
  readonly nowMs: number;
}

export interface Times {
  readonly leaseMs: number;
  readonly settleTimeMs: number;
}

/** The same object where nothing of it lies in the future that has been in the past. */
export function rewound(record: GroupRecord, { beforeMs, nowMs }: Setback, { leaseMs, settleTimeMs }: Times) {
  const { attempt, uncertain, verificationOwedAt, readDueAt } = record;
  const isAhead = (ms: number) => ms > nowMs;
  const settledAt = nowMs + settleTimeMs;
  const after: GroupRecord = {
    ...record,
    attempt:
      attempt === null || !isAhead(attempt.begunAt)
        ? attempt
        : { ...attempt, begunAt: nowMs, leaseUntil: Math.min(attempt.leaseUntil, nowMs + leaseMs) },
    uncertain:
      uncertain === null || !isAhead(uncertain.begunAt)
        ? uncertain
        : {
            ...uncertain,
            begunAt: nowMs,
            openUntil: uncertain.openUntil === null ? null : Math.min(uncertain.openUntil, settledAt),
            readAt: Math.min(uncertain.readAt, nowMs),
          },
    verificationOwedAt: verificationOwedAt === null ? null : Math.min(verificationOwedAt, settledAt),
    readDueAt: readDueAt !== null && isAhead(readDueAt) && readDueAt <= beforeMs ? nowMs : readDueAt,
  };
  const isSame =
    after.attempt === attempt &&
    after.uncertain === uncertain &&
    after.verificationOwedAt === verificationOwedAt &&
    after.readDueAt === readDueAt;
  return isSame ? record : after;
}
