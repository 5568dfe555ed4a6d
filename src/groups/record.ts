/**
 * What Redis holds of one WhatsApp group: its entry in the file, its link, its place in the schedule, the attempt under
 * way and what is uncertain. Also the registration of a group id, and pure questions on both. Each has one schema, used
 * for reading and writing, and keys of a newer version survive. Times are milliseconds since 1970 by Redis's clock.
 *
 * A record is named by the group's JID. A group that the file names by a code or link has a record named by its id
 * until its first read has shown the JID. So lock, uncertainty and history belong to the WhatsApp group: they stay when
 * an entry of the file is renamed, moved to another instance, disabled, or removed and added again.
 */
import { z } from 'zod';
import { linkReasons, requestInfo } from '../contract/event.ts';
import type { RotationResult } from '../contract/request.ts';
import { phaseOf } from '../schedule/schedule.ts';
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

/** A group as the file has it. Workers act on the registered entry, never on the file that they have read. */
const entry = z.looseObject({
  /** The group's id in the file. */
  group: z.string(),
  instance: z.string(),
  /** A JID or an invite code. */
  identifier: z.string(),
  enabled: z.boolean(),
  schedule,
  /** Results queues that get the group's events. */
  queues: z.array(z.string()),
  /** null: no periodic verification. */
  verifyEveryMs: z.int().positive().nullable(),
});
export type Entry = z.infer<typeof entry>;

/** Which one-offs existed when an attempt began, without reference to any clock. */
const covers = z.object({
  /** All jobs of this queue up to this number were pushed before the attempt. BullMQ counts the jobs. */
  queue: z.string(),
  lastJob: z.int().nonnegative(),
  /** Names this count, since an obliterated queue counts from 1 again. Older versions did not store it. */
  count: z.string().optional(),
  /** The attempt's number. A request that saw a lower count of attempts is older. Older versions did not store it. */
  attempt: z.int().positive().optional(),
  /** Identities of jobs that were on the queue too, and that BullMQ does not count because their producers chose their ids. */
  others: z.array(z.string()).optional(),
});
export type Covers = z.infer<typeof covers>;

const attempt = z.looseObject({
  id: z.string(),
  /** `adopt`: the first read. `resolve`: the first read of a code, as versions before 0.2 named it. */
  call: z.enum(['reset', 'readBack', 'adopt', 'verify', 'resolve']),
  /** Right before the call is sent. A reset answers every request made earlier. */
  begunAt: time,
  /** Renewed while the process lives. Once it has expired, any worker may take over. */
  leaseUntil: time,
  /**
   * The one-off that this call serves. Null for scheduled rotations and verifications. `identity` names the job. `link`: the
   * code by which it names the group, which a reset replaces.
   */
  request: z
    .looseObject({ ...requestInfo.shape, identity: z.string().default(''), link: z.string().optional() })
    .nullable(),
  /** The one-offs that existed when the attempt began. A reset answers them all. */
  covers: covers.nullable().default(null),
});
export type Attempt = z.infer<typeof attempt>;

const uncertain = z.looseObject({
  /** When the call with the unknown effect began. */
  begunAt: time,
  /** Until when the call may still take effect. Null if the API has ended it and only its effect is unknown. */
  openUntil: time.nullable(),
  /** The earliest time at which the link is read back. */
  readAt: time,
  /** Reads that showed the old link, or none. */
  reads: z.int().nonnegative(),
  /** Consecutive reads that were refused or not answered. */
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
  /** The first of the consecutive failures. Older versions did not store it. */
  since: time.optional(),
  /** Consecutive failures. */
  count: z.int().positive(),
  nextAttemptAt: time.nullable(),
});

const published = z.object({ code: z.string().nullable(), revision: time.nullable() });

export const groupRecord = z.looseObject({
  /** Null if no worker has registered this group, or if a version before 0.2 wrote the record. */
  entry: entry.nullable().default(null),
  /** When the entry left the file. Null while it is in force. A removed group's unsettled calls are still settled. */
  removedAt: time.nullable().default(null),
  /** The entry's id now names another WhatsApp group, so this one publishes no events. */
  replaced: z.boolean().default(false),
  /** When the entry moved to its instance from another. Null if no move is known. */
  movedAt: time.nullable().default(null),
  /** Null while only a code or link is known. */
  jid: z.string().nullable(),
  /** The last link known to be live. If `revision` is null, a version before 0.2 read it and did not publish it. */
  link: z.looseObject({ code: z.string(), url: z.string() }).nullable(),
  revision: time.nullable(),
  previous: published,
  /** The link of another WhatsApp group that was last published under the entry's id. Null if there is none. */
  predecessor: published.nullable().default(null),
  /** Why the current link was published. Null if none was, or if an older version wrote the record. */
  reason: z.enum(linkReasons).nullable().default(null),
  /** When the link with `revision` was stored. */
  rotatedAt: time.nullable(),
  /** When this program last reset the link. Null: never. */
  lastResetAt: time.nullable().default(null),
  /** When the reset that made the link with `revision` began. Null if the reset was not ours. */
  resetBegunAt: time.nullable(),
  /** The one-offs that existed before this reset began, and that it answers. */
  resetCovers: covers.nullable().default(null),
  /** Replaced codes, newest first. None of them is ever published again. */
  replacedCodes: z.array(z.string()).default([]),
  /** Next scheduled rotation. Null: none. */
  dueAt: time.nullable(),
  /** The link must be read and published before any other call. */
  adopt: z.boolean().default(false),
  /** When a read with the priority of scheduled work is due: for a new group, and for one that returned to the file. */
  readDueAt: time.nullable().default(null),
  /** All attempts so far. */
  attempts: z.int().nonnegative(),
  /** All failures reported so far. Numbers their events; versions before 0.2 used `attempts`. */
  failures: z.int().nonnegative().default(0),
  attempt: attempt.nullable(),
  /** Id of the last settled attempt. Tells a commit whose reply was lost from one that the fence refuses. */
  settled: z.string().nullable(),
  uncertain: uncertain.nullable(),
  /** A call may have taken effect late, so a read that begins at this time or later is owed. */
  verificationOwedAt: time.nullable(),
  /**
   * When a reset began whose effect no read has shown so far. The reads may have come from a cache, so until the owed read
   * it is unknown whether a new link is this reset's or a later one's. Null: there is none.
   */
  unseenResetAt: time.nullable().default(null),
  /** No reset starts before this time: Redis had lost the record, and a forgotten reset may still be in flight. */
  resetsFrom: time.nullable().default(null),
  /** When the link was last read, or a read was last tried. */
  verifiedAt: time.nullable(),
  /** Consecutive reads that failed or showed no link. */
  unverified: z.int().nonnegative().default(0),
  failure: failure.nullable(),
  /** The group that owns the same WhatsApp group. This one is then paused. */
  duplicateOf: z.string().nullable(),
  /** Identities of the one-offs answered last. A job that runs again after a crash finds its answer here. */
  answered: z.array(z.string()),
  /** The one-offs that failed last, for runs of one job that overlap. `failedOneOffs.ts` remembers all. */
  failed: z.array(z.looseObject({ identity: z.string(), reason: z.string() })).default([]),
});
export type GroupRecord = z.infer<typeof groupRecord>;

/** The record of a group that is not stored yet. */
export const newRecord: GroupRecord = Object.freeze(
  groupRecord.parse({
    jid: null,
    link: null,
    revision: null,
    previous: { code: null, revision: null },
    rotatedAt: null,
    resetBegunAt: null,
    dueAt: null,
    adopt: true,
    attempts: 0,
    attempt: null,
    settled: null,
    uncertain: null,
    verificationOwedAt: null,
    unseenResetAt: null,
    verifiedAt: null,
    failure: null,
    duplicateOf: null,
    answered: [],
  }),
);

/** How long the record of a group that left the file is kept, ms. */
export const historyMs = 30 * 24 * 3_600_000;

/** What was registered for one group id, and which record belongs to it. Clients read it to find a group's queue. */
const registration = z.looseObject({
  entry,
  recordId: z.string(),
  /** Of the file that it was registered from (`files.ts`). An older file never replaces it. */
  generation: z.int().nonnegative(),
  /** The group that owns the same WhatsApp group. Null: none. */
  duplicateOf: z.string().nullable(),
  /** What was published under the id when it lost its record. Null if nothing was, or if it still has its record. */
  published: published.nullable().default(null),
  /** Failures reported under the id when it lost its record. */
  failures: z.int().nonnegative().default(0),
  /** Its record was lost or given to another entry. Any file may register it again. */
  evicted: z.boolean().default(false),
  /** When the id left the file. Null while it is in force. The WhatsApp group is still found by an id that left. */
  removedAt: time.nullable(),
});
export type Registration = z.infer<typeof registration>;

/** Null if there is none, or if a version before 0.2 wrote it; the group is then registered again. */
export function parseRegistration(json: string | null | undefined): Registration | null {
  if (!json) return null;
  try {
    return registration.parse(JSON.parse(json));
  } catch {
    return null;
  }
}

/** Whether a file has the group. Then one-offs are accepted. */
export function isRegistered({ entry, removedAt }: GroupRecord): boolean {
  return entry !== null && removedAt === null;
}

/** Whether the group has scheduled rotations and verifications. */
export function isScheduled(record: GroupRecord): boolean {
  return isRegistered(record) && record.entry?.enabled === true && record.duplicateOf === null;
}

/** Whether the group's link is read. A disabled group's is if another group's link was published under its id. */
export function takesReads(record: GroupRecord): boolean {
  if (isScheduled(record)) return true;
  return isRegistered(record) && record.duplicateOf === null && record.adopt && record.predecessor !== null;
}

/** Whether the record belongs to this group id now. */
export function hasEntry(record: GroupRecord, id: string): boolean {
  return record.entry?.group === id && !record.replaced;
}

export type Published = GroupRecord['predecessor'];

/** What consumers were last sent under the id of the record's entry. Null: nothing. */
export function publishedOf(record: GroupRecord): Published {
  if (record.adopt || record.revision === null) return record.predecessor;
  return { code: record.link?.code ?? null, revision: record.revision };
}

/** When the next scheduled rotation or first read is due. Null: never. */
export function nextDueAt(record: GroupRecord): number | null {
  if (isScheduled(record)) return earliest(record.dueAt, record.readDueAt);
  return takesReads(record) ? record.readDueAt : null;
}

/** Of the period: a link that was just published is not read back before this part of it. */
const earliestPart = 1 / 12;

/**
 * When the link is next verified, by the period in force. Null: never. A new link is verified at a phase of the period
 * that depends on the group, so that groups that were read together are verified evenly over the period.
 */
export function verifyAt(record: GroupRecord): number | null {
  const { jid, verifiedAt, rotatedAt } = record;
  const everyMs = record.entry?.verifyEveryMs ?? null;
  if (everyMs === null || jid === null || record.adopt || !isScheduled(record)) return null;
  const seenAt = Math.max(verifiedAt ?? 0, rotatedAt ?? 0);
  const isNewLink = (verifiedAt ?? 0) <= (rotatedAt ?? 0);
  const part = isNewLink ? earliestPart + (1 - earliestPart) * phaseOf(jid) : 1;
  return seenAt + Math.floor(everyMs * part);
}

/** For this long, an uncertain group is left to the job that made it uncertain. */
const orphanedMs = 3_000;

/** When the settler looks at the group. Null if nothing is unsettled. */
export function settleAt({ attempt, uncertain, verificationOwedAt }: GroupRecord): number | null {
  if (attempt !== null) return attempt.leaseUntil;
  if (uncertain !== null) return uncertain.readAt + orphanedMs;
  return verificationOwedAt;
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** A group's newest link, as requests are answered with it. */
export type KnownLink = Pick<RotationResult, 'jid' | 'inviteCode' | 'inviteLink' | 'revision' | 'rotatedAt'>;

/** Null if there is none yet. */
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
