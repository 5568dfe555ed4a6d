/**
 * A one-off as it lies on a `rotations-<instance>` queue: a job named `rotate`. Any BullMQ producer may push one, so
 * nothing here is trusted: sizes are bounded, unknown keys are dropped, and a bad one says what would be right.
 */
import { z } from 'zod';

/** The name of a one-off's job; part of the contract. */
export const requestJob = 'rotate';

const text = (max: number) => z.string().max(max);
/** `null` is what many languages write for "not given". */
const optionalText = (max: number) => text(max).nullish();
/** 2001: before that it is not in milliseconds. */
const earliestMs = 1_000_000_000_000;

export const rotationRequest = z.object({
  /** The group's id or JID. */
  group: text(128).min(1),
  reason: optionalText(500),
  requestId: optionalText(200),
  requestedBy: optionalText(200),
  /**
   * When it was made, in milliseconds by Redis's clock: a reset that began later answers it. Without it the worker goes by
   * BullMQ's count of jobs. Set it only from Redis's own `TIME`, as the command line and the library do.
   */
  requestedAt: z.int().min(earliestMs, { error: 'expected milliseconds since 1970, as Redis counts them' }).nullish(),
  /**
   * What the library and the command line saw of the group when they asked: how many attempts its record had begun. A reset
   * that is a later attempt answers the request, whatever became of the clock meanwhile.
   */
  seen: z.object({ record: text(128), attempts: z.int().nonnegative() }).nullish(),
});
export type RotationRequest = z.infer<typeof rotationRequest>;

/** Who a one-off is. `run`: how often its job has ended before, as job ids are used again. */
export function identityOf(job: { queue: string; jobId: string | undefined; timestamp: number; run: number }): string {
  return [job.queue, job.jobId, job.timestamp, job.run].join(':');
}

/** Reads a job's data; the error is one line for the producer. */
export function parseRequest(data: unknown): { ok: true; request: RotationRequest } | { ok: false; message: string } {
  const parsed = rotationRequest.safeParse(data);
  if (parsed.success) return { ok: true, request: parsed.data };
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'data'}: ${issue.message}`);
  return {
    ok: false,
    message: `bad request (${problems.join('; ')}): expected {"group": "<id or JID>", "reason"?, "requestId"?, "requestedBy"?}`,
  };
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
});
export type RotationResult = z.infer<typeof rotationResult>;
