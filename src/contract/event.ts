/**
 * Events, version 1, as the contract has them: what every consumer of a results queue gets, whatever its language.
 * A consumer keeps the highest `revision` of a group and drops the rest.
 */
import { z } from 'zod';
import { errorCodes } from './errorCodes.ts';

/** Who asked for a one-off, as its events repeat it. */
export const requestInfo = z.object({
  requestId: z.string().nullable(),
  requestedBy: z.string().nullable(),
  reason: z.string().nullable(),
});
export type RequestInfo = z.infer<typeof requestInfo>;

/**
 * Why a link was published. `adopted`: read at first sight; `recovery`: our own, read back after a lost answer; `drift`:
 * somebody else's.
 */
export const linkReasons = ['schedule', 'request', 'recovery', 'drift', 'adopted'] as const;
export type LinkReason = (typeof linkReasons)[number];

const time = z.iso.datetime();
const revision = z.int().nonnegative();
/** Consumers put it on pages: whoever can push an event cannot lead people elsewhere. */
const inviteLink = z.string().regex(/^https:\/\/chat\.whatsapp\.com\/[A-Za-z0-9_-]{1,64}$/);

/** What every event says, whatever its type. */
const common = {
  version: z.literal(1),
  /** `<group>.<revision>`; a failure's ends in `.failed.<sequence>`. */
  id: z.string(),
  group: z.string(),
  instance: z.string(),
  previousInviteCode: z.string().nullable(),
  previousRevision: revision.nullable(),
  /** Who asked; null when nobody did. */
  request: requestInfo.nullable(),
  /** null: none is planned. */
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

/** Not changed by us: read at first sight (`adopted`), or found changed by somebody else (`drift`). */
export const linkChanged = z.object({
  ...newLink,
  type: z.literal('link.changed'),
  reason: z.enum(['adopted', 'drift']),
});

/** Gave up for now; the link fields hold the last known link, or null. */
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
  /** Whether a call may have killed that link without our knowing the new one. */
  linkUncertain: z.boolean(),
});

export const linkEvent = z.discriminatedUnion('type', [linkRotated, linkChanged, rotationFailed]);
export type LinkEvent = z.infer<typeof linkEvent>;
/** A group has a new link. */
export type NewLinkEvent = Exclude<LinkEvent, { type: 'rotation.failed' }>;
export type RotationFailedEvent = z.infer<typeof rotationFailed>;
