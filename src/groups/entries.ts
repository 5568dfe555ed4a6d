/**
 * What becomes of a record when its entry in the file is registered, renamed, given to another WhatsApp group or
 * removed. Pure. Attempts, uncertainty and history stay with the WhatsApp group through all of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FirstSeen, firstDue, nextDue } from '../schedule/schedule.ts';
import { type Entry, type GroupRecord, newRecord, type Published, publishedOf } from './record.ts';

/** A group as the file has it. */
export interface DesiredGroup {
  readonly entry: Entry;
  readonly firstSeen: FirstSeen;
  /**
   * Set if the group was registered before. If it has no record now, Redis has lost it, and a forgotten call may take
   * effect for this long. ms.
   */
  readonly settlesInMs?: number;
}

/** What an entry takes with it from its previous record. */
export interface Inherited {
  /** Published under its id from that record. */
  readonly published: Published;
  /** Failures reported under its id. They number the events. */
  readonly failures: number;
}

/** The record of a WhatsApp group under this entry. */
export function withEntry(
  record: GroupRecord,
  desired: DesiredGroup,
  jid: string | null,
  { published, failures }: Inherited,
  nowMs: number,
): GroupRecord {
  const { entry } = desired;
  const old = record.entry;
  // A record without an entry is new, or a version before 0.2 wrote it under this id.
  const lastResetAt = old === null ? record.rotatedAt : record.lastResetAt;
  const sameId = old === null || (old.group === entry.group && !record.replaced);
  const comesBack = old !== null && (record.removedAt !== null || record.replaced);
  const forgottenUntil = isLost(record, desired) ? nowMs + (desired.settlesInMs ?? 0) : null;
  const adopt = record.adopt || !sameId || record.replaced || (old === null && record.revision === null);
  return {
    ...record,
    entry: { ...old, ...entry },
    removedAt: null,
    replaced: false,
    movedAt: old !== null && old.instance !== entry.instance ? nowMs : record.movedAt,
    jid,
    predecessor: old !== null && sameId ? record.predecessor : (published ?? (sameId ? record.predecessor : null)),
    // Versions before 0.2 numbered failure events by attempts.
    failures: Math.max(record.failures, failures, old === null ? record.attempts : 0),
    duplicateOf: null,
    lastResetAt,
    dueAt: dueAtOf({ ...record, lastResetAt }, desired, nowMs),
    adopt,
    verificationOwedAt: forgottenUntil ?? record.verificationOwedAt,
    resetsFrom: forgottenUntil ?? record.resetsFrom,
    readDueAt: (adopt && record.readDueAt === null) || comesBack ? nowMs : record.readDueAt,
  };
}

/** The record of an entry whose WhatsApp group belongs to `owner`. It is paused. */
export function asDuplicate(
  record: GroupRecord,
  { entry }: DesiredGroup,
  owner: string,
  { published, failures }: Inherited,
): GroupRecord {
  return {
    ...record,
    predecessor: published ?? record.predecessor,
    failures: Math.max(record.failures, failures),
    entry: { ...record.entry, ...entry },
    removedAt: null,
    replaced: false,
    jid: null,
    duplicateOf: owner,
    dueAt: null,
    readDueAt: null,
  };
}

/** The entry left the file. Its times stay in the record in case it returns. */
export function withoutEntry(record: GroupRecord, nowMs: number): GroupRecord {
  return { ...record, removedAt: nowMs };
}

/** The entry's id names another WhatsApp group from now on. */
export function asReplaced(record: GroupRecord, nowMs: number): GroupRecord {
  return { ...withoutEntry(record, nowMs), replaced: true };
}

/** A new record for an id that now has another code. */
export function startedOver(record: GroupRecord): GroupRecord {
  return { ...newRecord, predecessor: publishedOf(record), failures: record.failures };
}

function isLost({ entry }: GroupRecord, { settlesInMs }: DesiredGroup): boolean {
  return entry === null && settlesInMs !== undefined;
}

function dueAtOf(record: GroupRecord, desired: DesiredGroup, nowMs: number): number | null {
  const { entry, firstSeen } = desired;
  if (!entry.enabled) return null;
  const old = record.entry;
  const isSameSchedule = old === null || (old.enabled && isDeepStrictEqual(old.schedule, entry.schedule));
  if (isSameSchedule && record.dueAt !== null) return record.dueAt;
  if (record.lastResetAt !== null) return nextDue(entry.schedule, record.lastResetAt);
  // Losing the schedule in Redis is no reason to replace a link at once.
  const first = isLost(record, desired) && firstSeen === 'rotate' ? 'spread' : firstSeen;
  return firstDue(entry.schedule, first, entry.group, nowMs);
}
