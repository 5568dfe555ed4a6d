/**
 * Events of version 1: what consumers of a results queue get, in any language. A consumer keeps the highest `revision`
 * of each group and drops the others.
 */
import { z } from 'zod';
import { errorCodes } from './errorCodes.ts';

/** What a one-off says about itself. Its events repeat it. */
export const requestInfo = z.object({
  requestId: z.string().nullable(),
  requestedBy: z.string().nullable(),
  reason: z.string().nullable(),
});
export type RequestInfo = z.infer<typeof requestInfo>;

/**
 * Why a link was published. `recovery`: we reset it, and read it back after a lost answer; `drift`: it was changed by
 * someone else; `adopted`: it was read before the first rotation.
 */
export const linkReasons = ['schedule', 'request', 'recovery', 'drift', 'adopted'] as const;
export type LinkReason = (typeof linkReasons)[number];

/** The id of a group, as the configuration file has it. */
export const groupId = /^[a-z0-9][a-z0-9_-]{0,63}$/;

const time = z.iso.datetime();
const revision = z.int().nonnegative();
/** Consumers publish it, so an event must not be able to lead people to another site. */
export const inviteLink = z.string().regex(/^https:\/\/chat\.whatsapp\.com\/[A-Za-z0-9_-]{1,64}$/);

/** The fields of every event. */
const common = {
  version: z.literal(1),
  /** `<group>.<revision>`. A failure's id ends in `.failed.<sequence>`. */
  id: z.string(),
  group: z.string(),
  instance: z.string(),
  previousInviteCode: z.string().nullable(),
  previousRevision: revision.nullable(),
  /** The one-off that this answers. Null if there is none. */
  request: requestInfo.nullable(),
  /** Null if no rotation is scheduled. */
  nextRotationAt: time.nullable(),
};

const newLink = {
  ...common,
  jid: z.string(),
  inviteCode: z.string(),
  inviteLink,
  revision,
  rotatedAt: time,
};

/** We reset the link. */
export const linkRotated = z.object({
  ...newLink,
  type: z.literal('link.rotated'),
  reason: z.enum(['schedule', 'request', 'recovery']),
});

/** We did not reset the link: it was read for the first time (`adopted`), or someone else changed it (`drift`). */
export const linkChanged = z.object({
  ...newLink,
  type: z.literal('link.changed'),
  reason: z.enum(['adopted', 'drift']),
});

/** The rotation failed. `nextAttemptAt` says when it is tried again. The link fields hold the last known link, or null. */
export const rotationFailed = z.object({
  ...common,
  type: z.literal('rotation.failed'),
  reason: z.enum(linkReasons),
  jid: z.string().nullable(),
  inviteCode: z.string().nullable(),
  inviteLink: inviteLink.nullable(),
  revision: revision.nullable(),
  rotatedAt: time.nullable(),
  error: z.object({ code: z.enum(errorCodes), message: z.string(), httpStatus: z.int().nullable() }),
  nextAttemptAt: time.nullable(),
  /** Whether a call may have replaced that link by one that is not known yet. */
  linkUncertain: z.boolean(),
});

export const linkEvent = z.discriminatedUnion('type', [linkRotated, linkChanged, rotationFailed]);
export type LinkEvent = z.infer<typeof linkEvent>;
/** An event with a new link. */
export type NewLinkEvent = Exclude<LinkEvent, { type: 'rotation.failed' }>;
export type RotationFailedEvent = z.infer<typeof rotationFailed>;
