/**
 * What is remembered of one WhatsApp group: what the file says of it, its link, its place in the schedule, the attempt
 * under way and what is uncertain. One schema, used for reading and for writing; keys of a newer version survive both.
 * Times are milliseconds since 1970 by Redis's clock.
 *
 * A record is named by the group's JID. A group that the file names by a code or link has a record named by its id
 * until a first read has shown the JID. So lock, doubt and history belong to the WhatsApp group: they stay where they
 * are when an entry of the file is renamed, moved to another instance, disabled, or removed and added again.
 */
import { z } from 'zod';
import { linkReasons, requestInfo } from '../contract/event.ts';
import { weekdays } from '../schedule/window.ts';

const time = z.int().nonnegative();

const window = z.object({
  fromMinute: z.int().min(0).max(1439),
  toMinute: z.int().min(0).max(1440),
  days: z.array(z.enum(weekdays)).min(1),
});
const when = { timezone: z.string(), window: window.nullable() };
const schedule = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('every'), everyMs: z.int().positive(), ...when }),
  z.object({ kind: z.literal('cron'), cron: z.string(), ...when }),
]);

/** What the file says of a group. Workers go by the registered entry, never by the file they have read themselves. */
export const entry = z.looseObject({
  /** The group's id in the file. */
  group: z.string(),
  instance: z.string(),
  /** A JID or an invite code. */
  identifier: z.string(),
  enabled: z.boolean(),
  schedule,
  /** Results queues that get the group's events. */
  queues: z.array(z.string()),
  /** null: links are not verified periodically. */
  verifyEveryMs: z.int().positive().nullable(),
});
export type Entry = z.infer<typeof entry>;

/** Which one-offs were there when an attempt began. No clock is needed to tell. */
const covers = z.object({
  /** Jobs of this queue up to the one that BullMQ numbered last: all of them were pushed before. */
  queue: z.string(),
  lastJob: z.int().nonnegative(),
  /** Which of the group's attempts it is: those who asked when fewer had begun asked before. Absent: an older version's. */
  attempt: z.int().positive().optional(),
});
export type Covers = z.infer<typeof covers>;

const attempt = z.looseObject({
  id: z.string(),
  /** `adopt`: the read at first sight. `resolve`: what versions before 0.2 called that of a code. */
  call: z.enum(['reset', 'readBack', 'adopt', 'verify', 'resolve']),
  /** Right before the call was sent; a reset answers every request made before it. */
  begunAt: time,
  /** Renewed while its process lives; once past, anybody may take the group over. */
  leaseUntil: time,
  /** The one-off that this call is made for; null: the schedule, or a verification. `identity`: which job it is. */
  request: z.looseObject({ ...requestInfo.shape, identity: z.string().default('') }).nullable(),
  /** The one-offs that were there when the attempt began: a reset answers them all. */
  covers: covers.nullable().default(null),
});
export type Attempt = z.infer<typeof attempt>;

const uncertain = z.looseObject({
  /** When the call whose effect is unknown began. */
  begunAt: time,
  /** Until when it may still take effect; null: the API has ended it, only its effect is unknown. */
  openUntil: time.nullable(),
  /** The link is not read back before. */
  readAt: time,
  /** Reads that showed an unchanged link, or none. */
  reads: z.int().nonnegative(),
  /** Reads in a row that were refused or not answered. */
  failedReads: z.int().nonnegative().default(0),
  request: attempt.shape.request,
  covers: attempt.shape.covers,
});
export type Uncertain = z.infer<typeof uncertain>;

const failure = z.looseObject({
  code: z.string(),
  message: z.string(),
  httpStatus: z.int().nullable(),
  at: time,
  /** Failures in a row. */
  count: z.int().positive(),
  nextAttemptAt: time.nullable(),
});

export const published = z.object({ code: z.string().nullable(), revision: time.nullable() });

export const groupRecord = z.looseObject({
  /** null: nobody has registered this group yet, or a version before 0.2 wrote the record. */
  entry: entry.nullable().default(null),
  /** When the entry left the file; null: it is in force. What is unsettled is settled all the same. */
  removedAt: time.nullable().default(null),
  /** The entry's id names another WhatsApp group by now, so no event is published for this one. */
  replaced: z.boolean().default(false),
  /** When the entry came to its instance from another; null: it has always been there, as far as anybody knows. */
  movedAt: time.nullable().default(null),
  /** null: known by a code or link only, and not resolved yet. */
  jid: z.string().nullable(),
  /** The last link known to be live. With `revision` null it was read by a version before 0.2, and never published. */
  link: z.looseObject({ code: z.string(), url: z.string() }).nullable(),
  revision: time.nullable(),
  previous: published,
  /** What consumers hold under the entry's id from another WhatsApp group; null: nothing. */
  predecessor: published.nullable().default(null),
  /** Why the current link was published. Null if none was, or if an older version wrote the record. */
  reason: z.enum(linkReasons).nullable().default(null),
  /** When the link of `revision` was stored. */
  rotatedAt: time.nullable(),
  /** When we last reset the link; null: never. */
  lastResetAt: time.nullable().default(null),
  /** When the reset began that made the link of `revision`; null: it was not ours. */
  resetBegunAt: time.nullable(),
  /** The one-offs that this reset answers, because they were there before it began. */
  resetCovers: covers.nullable().default(null),
  /** Codes that were replaced, the newest first: one of these is never news. */
  replacedCodes: z.array(z.string()).default([]),
  /** Next scheduled rotation; null: none. */
  dueAt: time.nullable(),
  /** The link has to be read and published before anything else is done. */
  adopt: z.boolean().default(false),
  /** A read is due then, with the priority of scheduled work: at first sight, and when a group comes back. */
  readDueAt: time.nullable().default(null),
  /** Attempts ever begun. */
  attempts: z.int().nonnegative(),
  /** Failures ever reported: numbers their events. Versions before 0.2 numbered them by `attempts`. */
  failures: z.int().nonnegative().default(0),
  attempt: attempt.nullable(),
  /** Id of the last attempt that was settled: tells a commit whose reply was lost from one that the fence refuses. */
  settled: z.string().nullable(),
  uncertain: uncertain.nullable(),
  /** A read that begins at this time or later is owed, because a call might have taken effect late. */
  verificationOwedAt: time.nullable(),
  /** When the link was last seen to be live, or last tried to be read. */
  verifiedAt: time.nullable(),
  /** Reads in a row that failed or were shown no link. */
  unverified: z.int().nonnegative().default(0),
  failure: failure.nullable(),
  /** Id of the group that this one turned out to be; it is then paused. */
  duplicateOf: z.string().nullable(),
  /** Identities of the last one-offs answered: a job that runs again after a crash finds its answer here. */
  answered: z.array(z.string()),
});
export type GroupRecord = z.infer<typeof groupRecord>;

/** A group nobody has heard of before. */
export const newRecord: GroupRecord = Object.freeze({
  entry: null,
  removedAt: null,
  replaced: false,
  movedAt: null,
  jid: null,
  link: null,
  revision: null,
  previous: { code: null, revision: null },
  predecessor: null,
  reason: null,
  rotatedAt: null,
  lastResetAt: null,
  resetBegunAt: null,
  resetCovers: null,
  replacedCodes: [],
  dueAt: null,
  adopt: true,
  readDueAt: null,
  attempts: 0,
  failures: 0,
  attempt: null,
  settled: null,
  uncertain: null,
  verificationOwedAt: null,
  verifiedAt: null,
  unverified: 0,
  failure: null,
  duplicateOf: null,
  answered: [],
});

/** Whether the file has the group; one-offs are then accepted. */
export function isRegistered({ entry, removedAt }: GroupRecord): boolean {
  return entry !== null && removedAt === null;
}

/** How long the history of a group that left the file is kept, ms. */
export const historyMs = 30 * 24 * 3_600_000;

/** Whether the group has scheduled rotations and verifications. */
export function isScheduled(record: GroupRecord): boolean {
  return isRegistered(record) && record.entry?.enabled === true && record.duplicateOf === null;
}

/** Whether the link is read at first sight. A disabled group's is where consumers hold another group's under its id. */
export function isRead(record: GroupRecord): boolean {
  if (isScheduled(record)) return true;
  return isRegistered(record) && record.duplicateOf === null && record.adopt && record.predecessor !== null;
}

/** A group's newest link, as it is told to those who asked. */
export interface KnownLink {
  readonly jid: string;
  readonly inviteCode: string;
  readonly inviteLink: string;
  readonly revision: number;
  /** ISO 8601. */
  readonly rotatedAt: string;
}

/** null: there was none yet. */
export function knownLink({ jid, link, revision, rotatedAt }: GroupRecord): KnownLink | null {
  if (jid === null || link === null || revision === null || rotatedAt === null) return null;
  return {
    jid,
    inviteCode: link.code,
    inviteLink: link.url,
    revision,
    rotatedAt: new Date(rotatedAt).toISOString(),
  };
}
