/** The error with which the library's calls reject. */
import { NoResultError } from '../bullmq/wait.ts';
import { type ErrorCode, errorCodes } from '../contract/errorCodes.ts';
import { withoutCommand } from '../redis/errors.ts';

/** The library's own codes, besides those of events. */
export const ownCodes = [
  /** `close()` was called, or the given Redis client was closed. */
  'closed',
  /** The instance's queue is paused. The request stays queued. */
  'paused',
  /** The job was removed, or the queue or Redis was emptied. No known link answers the request. */
  'removed',
  /** Redis refused a command, for example because of a wrong password or a missing permission. */
  'redis_error',
  /** An unexpected error of the worker or of the library. */
  'internal',
] as const;

export type RotationErrorCode = ErrorCode | (typeof ownCodes)[number];

/** A call to the library failed. */
export class RotationError extends Error {
  override readonly name = 'RotationError';
  /** `timeout`: the call's limit or the API's; `invalid_request`: no worker could serve this request. */
  readonly code: RotationErrorCode;

  constructor(code: RotationErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const jobCodes: readonly string[] = [...errorCodes, 'internal'];

export function rotationErrorOf(error: unknown): RotationError {
  if (error instanceof RotationError) return error;
  if (error instanceof NoResultError) {
    return error.why === 'failed' ? parseReason(error.message) : new RotationError(error.why, error.message);
  }
  const isReply = error instanceof Error && 'command' in error;
  return new RotationError(isReply ? 'redis_error' : 'internal', withoutCommand(error).message);
}

/** Parses a failed job's reason: `<code>: <message>`, or a sentence about what is wrong with the request. */
function parseReason(reason: string): RotationError {
  const [, code = '', message = ''] = /^([a-z_]+): (.*)$/s.exec(reason) ?? [];
  if (jobCodes.includes(code)) return new RotationError(code as RotationErrorCode, message);
  return new RotationError('invalid_request', reason);
}
