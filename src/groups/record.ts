/**
 * What is remembered of one group: its link, its place in the schedule, the attempt under way and what is uncertain.
 * One schema, used for reading and for writing. Times are milliseconds since 1970 by Redis's clock.
 */
import { z } from 'zod';

const time = z.int().nonnegative();

/** Who asked for a one-off, as its events repeat it. */
export const requestInfo = z.object({
  requestId: z.string().nullable(),
  requestedBy: z.string().nullable(),
  reason: z.string().nullable(),
});
export type RequestInfo = z.infer<typeof requestInfo>;

/** Why a link was told of: `recovery`: our own, read back after a lost answer; `drift`: somebody else's. */
export const linkReasons = ['schedule', 'request', 'recovery', 'drift'] as const;
export type LinkReason = (typeof linkReasons)[number];

const attempt = z.object({
  id: z.string(),
  call: z.enum(['reset', 'readBack', 'resolve', 'verify']),
  /** Right before the call was sent; a reset answers every request made before it. */
  begunAt: time,
  /** Renewed while its process lives; once past, anybody may take the group over. */
  leaseUntil: time,
  /** The one-off that this call is made for, with its job id; null: the schedule, or a verification. */
  request: requestInfo.extend({ jobId: z.string() }).nullable(),
});
export type Attempt = z.infer<typeof attempt>;

const uncertain = z.object({
  /** When the call whose effect is unknown began. */
  begunAt: time,
  /** Until when it may still take effect; null: the API has ended it, only its effect is unknown. */
  openUntil: time.nullable(),
  /** The link is not read back before. */
  readAt: time,
  reads: z.int().nonnegative(),
  request: attempt.shape.request,
});

const failure = z.object({
  code: z.string(),
  message: z.string(),
  httpStatus: z.int().nullable(),
  at: time,
  /** Failures in a row. */
  count: z.int().positive(),
  nextAttemptAt: time.nullable(),
});

export const groupRecord = z.object({
  /** null: known by a code or link only, and not resolved yet. */
  jid: z.string().nullable(),
  /** The last link known to be live. With `revision` null it was read, not made by us, and never published. */
  link: z.object({ code: z.string(), url: z.string() }).nullable(),
  revision: time.nullable(),
  previous: z.object({ code: z.string().nullable(), revision: time.nullable() }),
  /** Why the link of `revision` was told of; null: there is none, or a version that did not keep this stored it. */
  reason: z.enum(linkReasons).nullable().default(null),
  /** When the link of `revision` was stored. */
  rotatedAt: time.nullable(),
  /** When the reset began that made it; null: someone else changed it. */
  resetBegunAt: time.nullable(),
  /** Next scheduled rotation; null: none. */
  dueAt: time.nullable(),
  /** Attempts ever begun: numbers the failure events. */
  attempts: z.int().nonnegative(),
  attempt: attempt.nullable(),
  /** Id of the last attempt that was settled: tells a commit whose reply was lost from one that the fence refuses. */
  settled: z.string().nullable(),
  uncertain: uncertain.nullable(),
  /** A read-back that begins at this time or later is owed, because a call might have taken effect late. */
  verificationOwedAt: time.nullable(),
  /** When the link was last seen to be live, or last tried to be read. */
  verifiedAt: time.nullable(),
  /** Verifications in a row that were shown no link. */
  unreadable: z.int().nonnegative(),
  failure: failure.nullable(),
  /** Id of the group that this one turned out to be; it then rests. */
  duplicateOf: z.string().nullable(),
  /** Job ids of the last one-offs answered: a job that runs again after a crash finds its answer here. */
  answered: z.array(z.string()),
});
export type GroupRecord = z.infer<typeof groupRecord>;

/** A group nobody has heard of before. */
export const newRecord: GroupRecord = Object.freeze({
  jid: null,
  link: null,
  revision: null,
  previous: { code: null, revision: null },
  reason: null,
  rotatedAt: null,
  resetBegunAt: null,
  dueAt: null,
  attempts: 0,
  attempt: null,
  settled: null,
  uncertain: null,
  verificationOwedAt: null,
  verifiedAt: null,
  unreadable: 0,
  failure: null,
  duplicateOf: null,
  answered: [],
});

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
