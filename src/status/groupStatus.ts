/** One group of a status, from its record. Pure. Contains no link, code or token. */
import type { GroupConfig } from '../config/config.ts';
import type { LinkReason } from '../contract/event.ts';
import { type Entry, type GroupRecord, newRecord } from '../groups/record.ts';
import { type GroupState, stateAt, stateScore } from '../groups/states.ts';
import { periodOf } from '../groups/statusIndexes.ts';
import type { RecordError } from '../groups/store.ts';
import { isJid } from '../ryze/identifier.ts';

export interface GroupStatus {
  readonly group: string;
  /** Its name for people. Null if the file has none. */
  readonly title: string | null;
  readonly instance: string;
  /** Null while only a code or link is known. */
  readonly jid: string | null;
  readonly state: GroupState;
  /** Time since the link was stored. Null if there is none. */
  readonly linkAgeMs: number | null;
  /** Time from the start of the current link to the next scheduled rotation. Null without a link or a schedule. */
  readonly periodMs: number | null;
  readonly revision: number | null;
  /** Why the current link was published. Null if none was, or if that is not recorded. */
  readonly linkBy: LinkReason | null;
  readonly nextRotationAt: string | null;
  /** The last failure, if the group has not succeeded since. `count`: failures in a row, `since` the first of them. */
  readonly lastError: {
    readonly code: string;
    readonly message: string;
    readonly at: string;
    readonly since: string;
    readonly count: number;
  } | null;
  /** Reads in a row that failed or whose answer contained no link. */
  readonly unverified: number;
  /** The id under which the same WhatsApp group is rotated. */
  readonly duplicateOf: string | null;
}

/** A group as its file has it. */
export type ShownGroup = Pick<GroupConfig, 'id' | 'title' | 'instance' | 'enabled' | 'schedule' | 'identifier'>;

/** A group that is only in the file of another worker. */
export function shownEntry({ group, instance, enabled, schedule, identifier }: Entry): ShownGroup {
  const named = isJid(identifier)
    ? { kind: 'jid' as const, jid: identifier }
    : { kind: 'code' as const, code: identifier };
  return { id: group, title: null, instance, enabled, schedule, identifier: named };
}

export function unreadableStatus(group: ShownGroup, { message }: RecordError, nowMs: number): GroupStatus {
  const at = new Date(nowMs).toISOString();
  return {
    ...groupStatus(group, newRecord, nowMs),
    state: 'unreadable_record',
    lastError: { code: 'unreadable_record', message, at, since: at, count: 1 },
  };
}

export function groupStatus(group: ShownGroup, record: GroupRecord, nowMs: number): GroupStatus {
  const { rotatedAt, revision, reason, dueAt, failure, unverified, duplicateOf } = record;
  return {
    group: group.id,
    title: group.title,
    instance: group.instance,
    jid: record.jid ?? (group.identifier.kind === 'jid' ? group.identifier.jid : null),
    state: stateAt(stateScore(record, group.enabled), nowMs),
    linkAgeMs: rotatedAt === null ? null : nowMs - rotatedAt,
    periodMs: group.enabled && rotatedAt !== null ? periodOf(group.schedule, rotatedAt) : null,
    revision,
    linkBy: reason,
    nextRotationAt: dueAt === null || !group.enabled ? null : new Date(dueAt).toISOString(),
    lastError: failure && {
      code: failure.code,
      message: failure.message,
      at: new Date(failure.at).toISOString(),
      since: new Date(failure.since ?? failure.at).toISOString(),
      count: failure.count,
    },
    unverified,
    duplicateOf,
  };
}
