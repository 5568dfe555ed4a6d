/**
 * What becomes of a record when its entry in the file is registered, renamed, given to another WhatsApp group or
 * removed. Pure. Attempts, doubt and history stay with the WhatsApp group through all of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FirstSeen, firstDue, nextDue } from '../schedule/schedule.ts';
import { type Entry, type GroupRecord, newRecord } from './record.ts';

/** A group as the file has it. */
export interface Wanted {
  readonly entry: Entry;
  readonly firstSeen: FirstSeen;
  /**
   * It was registered before, so if it has no record, Redis has lost that: then a call that nobody remembers may take effect
   * until this time has passed. ms.
   */
  readonly settlesInMs?: number;
}

/** What consumers hold under an id; null: nothing. */
export type Published = GroupRecord['predecessor'];

/** What an entry brings along to the record that it gets. */
export interface Brought {
  /** What consumers hold under its id from another record. */
  readonly held: Published;
  /** Failures reported under its id: they number the events. */
  readonly failures: number;
}

/** The record of a WhatsApp group under that entry. */
export function withEntry(
  record: GroupRecord,
  wanted: Wanted,
  jid: string | null,
  { held, failures }: Brought,
  nowMs: number,
): GroupRecord {
  const { entry } = wanted;
  const old = record.entry;
  // A record without an entry is new, or was written by a version before 0.2 under this very id.
  const lastResetAt = old === null ? record.rotatedAt : record.lastResetAt;
  const sameId = old === null || (old.group === entry.group && !record.replaced);
  const comesBack = old !== null && (record.removedAt !== null || record.replaced);
  const adopt = record.adopt || !sameId || record.replaced || (old === null && record.revision === null);
  return {
    ...record,
    entry: { ...old, ...entry },
    removedAt: null,
    replaced: false,
    movedAt: old !== null && old.instance !== entry.instance ? nowMs : record.movedAt,
    jid,
    predecessor: old !== null && sameId ? record.predecessor : (held ?? (sameId ? record.predecessor : null)),
    // Versions before 0.2 numbered failure events by attempts.
    failures: Math.max(record.failures, failures, old === null ? record.attempts : 0),
    duplicateOf: null,
    lastResetAt,
    dueAt: dueAtOf({ ...record, lastResetAt }, wanted, nowMs),
    adopt,
    verificationOwedAt: isLost(record, wanted) ? nowMs + (wanted.settlesInMs ?? 0) : record.verificationOwedAt,
    readDueAt: (adopt && record.readDueAt === null) || comesBack ? nowMs : record.readDueAt,
  };
}

/** The record of an entry whose WhatsApp group `owner` has already: it is paused. */
export function asDuplicate(
  record: GroupRecord,
  { entry }: Wanted,
  owner: string,
  { held, failures }: Brought,
): GroupRecord {
  return {
    ...record,
    predecessor: held ?? record.predecessor,
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

/** The entry left the file. Its times stay in the record, for when it comes back. */
export function withoutEntry(record: GroupRecord, nowMs: number): GroupRecord {
  return { ...record, removedAt: nowMs };
}

/** The entry's id names another WhatsApp group from now on. */
export function replaced(record: GroupRecord, nowMs: number): GroupRecord {
  return { ...withoutEntry(record, nowMs), replaced: true };
}

/** What consumers hold under the id of the record's entry. */
export function publishedOf(record: GroupRecord): Published {
  if (record.adopt || record.revision === null) return record.predecessor;
  return { code: record.link?.code ?? null, revision: record.revision };
}

/** A new record for an entry of which only the id is the same: another code, or none of its JIDs. */
export function forgetting(record: GroupRecord): GroupRecord {
  return { ...newRecord, predecessor: publishedOf(record), failures: record.failures };
}

function isLost({ entry }: GroupRecord, { settlesInMs }: Wanted): boolean {
  return entry === null && settlesInMs !== undefined;
}

function dueAtOf(record: GroupRecord, wanted: Wanted, nowMs: number): number | null {
  const { entry, firstSeen } = wanted;
  if (!entry.enabled) return null;
  const old = record.entry;
  const asBefore = old === null || (old.enabled && isDeepStrictEqual(old.schedule, entry.schedule));
  if (asBefore && record.dueAt !== null) return record.dueAt;
  if (record.lastResetAt !== null) return nextDue(entry.schedule, record.lastResetAt);
  // Nobody wants a link replaced because Redis has lost its schedule.
  const first = isLost(record, wanted) && firstSeen === 'rotate' ? 'spread' : firstSeen;
  return firstDue(entry.schedule, first, entry.group, nowMs);
}
