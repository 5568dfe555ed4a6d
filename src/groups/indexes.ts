/**
 * When the planner has to look at a group, and why: the three indexes in Redis that are written in the same step as the
 * record. Pure.
 */
import type { Keys } from '../redis/keys.ts';
import { type GroupRecord, isRead, isScheduled } from './record.ts';

/** One member of one sorted set. */
export interface IndexEntry {
  readonly key: string;
  readonly atMs: number;
}

/** In each index a record has one place or none, null. */
export interface IndexEntries {
  /** Scheduled rotations, and reads at first sight. */
  readonly due: IndexEntry | null;
  /** Periodic verification. */
  readonly verification: IndexEntry | null;
  /** What a crash or a lost answer left, whatever became of the group's entry. */
  readonly unsettled: IndexEntry | null;
}

export function indexEntries(record: GroupRecord, keys: Keys): IndexEntries {
  const instance = record.entry?.instance;
  if (instance === undefined) return { due: null, verification: null, unsettled: null };
  const at = (key: string, atMs: number | null) => (atMs === null ? null : { key, atMs });
  return {
    due: at(keys.due(instance), lookAt(record)),
    verification: at(keys.verifications(instance), verifyAt(record)),
    unsettled: at(keys.unsettled, settleAt(record)),
  };
}

/** When the next scheduled rotation or first read is due; null: never. */
export function lookAt(record: GroupRecord): number | null {
  if (isScheduled(record)) return earliest(record.dueAt, record.readDueAt);
  return isRead(record) ? record.readDueAt : null;
}

/** When the link is to be verified next, by the period in force; null: never. */
export function verifyAt(record: GroupRecord): number | null {
  const everyMs = record.entry?.verifyEveryMs ?? null;
  if (everyMs === null || record.jid === null || record.adopt || !isScheduled(record)) return null;
  return Math.max(record.verifiedAt ?? 0, record.rotatedAt ?? 0) + everyMs;
}

/** An uncertain group is left for this long to the job that made it so. */
const orphanedMs = 3_000;

/** When what is unsettled is to be looked at; null: nothing is. */
export function settleAt({ attempt, uncertain, verificationOwedAt }: GroupRecord): number | null {
  if (attempt !== null) return attempt.leaseUntil;
  if (uncertain !== null) return uncertain.readAt + orphanedMs;
  return verificationOwedAt;
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
