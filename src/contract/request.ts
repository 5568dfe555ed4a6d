/**
 * A one-off on a `rotations-<instance>` queue: a job named `rotate`. Any BullMQ producer may push one, so its data is not
 * trusted: sizes are limited, unknown keys are dropped, and an error says what is expected.
 */
import { z } from 'zod';
import { linkReasons, type RequestInfo, requestInfo } from './event.ts';

/** The name of a one-off's job. */
export const requestJob = 'rotate';

const text = (max: number) => z.string().max(max);
/** Many languages write `null` for a value that is not given. */
const optionalText = (max: number) => text(max).nullish();
/** The year 2001. An earlier time is probably in seconds. */
const earliestMs = 1_000_000_000_000;

export const rotationRequest = z.object({
  /** The group's id, its JID, or an invite code or link that it has or had. */
  group: text(500).min(1),
  reason: optionalText(500),
  requestId: optionalText(200),
  requestedBy: optionalText(200),
  /**
   * When the request was made, in milliseconds by Redis's clock. A reset that began later answers it. Without this, the
   * worker compares BullMQ's job numbers. Set it only from Redis's `TIME`, as the command line and the library do.
   */
  requestedAt: z.int().min(earliestMs, { error: 'expected milliseconds since 1970, by the clock of Redis' }).nullish(),
  /**
   * The group's count of attempts at the time of the request, set by the library and the command line. A reset that is a
   * later attempt answers the request, even if the clock has been set back since.
   */
  seen: z.object({ record: text(128), attempts: z.int().nonnegative() }).nullish(),
  /**
   * Set by the library and the command line for a link that no worker knows: each instance may be the one that finds its
   * group, whatever queue the job is on.
   */
  anyInstance: z.boolean().nullish(),
});
export type RotationRequest = z.infer<typeof rotationRequest>;

/** What a caller may say about its request. */
export type RequestFields = Pick<RotationRequest, 'reason' | 'requestId' | 'requestedBy'>;

/** Identifies a one-off. `run`: how often a job with this id has ended before, since job ids may be reused. */
export function identityOf(job: { queue: string; jobId: string | undefined; timestamp: number; run: number }): string {
  return [job.queue, job.jobId, job.timestamp, job.run].join(':');
}

const expected = 'expected {"group": "<id, JID, invite code or link>", "reason"?, "requestId"?, "requestedBy"?}';

/** Parses a job's data; undefined if that is not JSON. The error is one line for the producer. */
export function parseRequest(data: unknown): { ok: true; request: RotationRequest } | { ok: false; message: string } {
  if (data === undefined) return { ok: false, message: `bad request (data: is not JSON): ${expected}` };
  const parsed = rotationRequest.safeParse(data);
  if (parsed.success) return { ok: true, request: parsed.data };
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'data'}: ${issue.message}`);
  return { ok: false, message: `bad request (${problems.join('; ')}): ${expected}` };
}

const namedGroup = z.object({
  group: rotationRequest.shape.group,
  requestId: rotationRequest.shape.requestId.catch(null),
  requestedBy: rotationRequest.shape.requestedBy.catch(null),
  reason: rotationRequest.shape.reason.catch(null),
});

/** The group that a request names, and what it says about itself, even if it is not valid. Null: it names none. */
export function parseNamed(data: unknown): { readonly group: string; readonly request: RequestInfo } | null {
  const parsed = namedGroup.safeParse(data);
  if (!parsed.success) return null;
  const { group, requestId = null, requestedBy = null, reason = null } = parsed.data;
  return { group, request: { requestId, requestedBy, reason } };
}

/** What a one-off's job returns. */
export const rotationResult = z.object({
  status: z.enum(['rotated', 'recovered', 'satisfied']),
  group: z.string(),
  jid: z.string(),
  inviteCode: z.string(),
  inviteLink: z.string(),
  revision: z.int().nonnegative(),
  rotatedAt: z.iso.datetime(),
  /** When the link that the request names was replaced. Absent: it names no such link. Null: not known. */
  replacedAt: z.iso.datetime().nullish(),
  /** Why it was replaced. */
  replacedReason: z.enum(linkReasons).nullish(),
  /** The one-off for which it was replaced. */
  replacedRequest: requestInfo.nullish(),
});
export type RotationResult = z.infer<typeof rotationResult>;
