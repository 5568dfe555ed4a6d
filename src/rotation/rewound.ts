/**
 * A record after Redis's clock was set back. What is due some time after a call started would be late by as much as the
 * clock was set back, so it becomes due that time after now instead, which is never too early. The schedule goes by the
 * clock and stays. Pure.
 */
import type { GroupRecord } from '../groups/record.ts';

export interface Setback {
  /** What the clock showed when it was set back. */
  readonly beforeMs: number;
  readonly nowMs: number;
}

/** The same object if no past time in it has become a future one. */
export function rewound(
  record: GroupRecord,
  { beforeMs, nowMs }: Setback,
  { leaseMs, settleTimeMs }: { readonly leaseMs: number; readonly settleTimeMs: number },
): GroupRecord {
  const { attempt, uncertain, verificationOwedAt, resetsFrom, readDueAt } = record;
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
    resetsFrom: resetsFrom === null ? null : Math.min(resetsFrom, settledAt),
    readDueAt: readDueAt !== null && isAhead(readDueAt) && readDueAt <= beforeMs ? nowMs : readDueAt,
  };
  const isSame =
    after.attempt === attempt &&
    after.uncertain === uncertain &&
    after.verificationOwedAt === verificationOwedAt &&
    after.resetsFrom === resetsFrom &&
    after.readDueAt === readDueAt;
  return isSame ? record : after;
}
