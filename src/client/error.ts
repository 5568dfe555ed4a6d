/** How a one-off's failure is told to the program that asked for it. */
import { NoResultError } from '../bullmq/wait.ts';
import { type ErrorCode, errorCodes } from '../contract/errorCodes.ts';
import { withoutCommand } from '../redis/errors.ts';

/** Of the library itself, beside the codes of events. */
export const ownCodes = [
  /** `close()` was called meanwhile, or the Redis client that was given was closed. */
  'closed',
  /** Somebody paused the instance's queue. The request stays queued. */
  'paused',
  /** Somebody removed the job, or emptied the queue or Redis; no link is known to answer the request. */
  'removed',
  /** Redis refused a command, for a wrong password or a missing right, say. */
  'redis_error',
  /** An unexpected error of the worker or of the library itself. */
  'internal',
] as const;

export type RotationErrorCode = ErrorCode | (typeof ownCodes)[number];

/** A rotation that was asked for and not made. */
export class RotationError extends Error {
  override readonly name = 'RotationError';
  /** `timeout`: the time limit of the call, or the API's; `invalid_request`: no worker could serve this request. */
  readonly code: RotationErrorCode;

  constructor(code: RotationErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const jobCodes: readonly string[] = [...errorCodes, 'internal'];

/** Whatever a call ended with. */
export function rotationErrorOf(error: unknown): RotationError {
  if (error instanceof RotationError) return error;
  if (error instanceof NoResultError) {
    return error.why === 'failed' ? failureOf(error.message) : new RotationError(error.why, error.message);
  }
  const isReply = error instanceof Error && 'command' in error;
  return new RotationError(isReply ? 'redis_error' : 'internal', withoutCommand(error).message);
}

/** Reads a failed job's reason: `<code>: <message>`, or in plain words what was wrong with the request. */
function failureOf(reason: string): RotationError {
  const [, code = '', message = ''] = /^([a-z_]+): (.*)$/s.exec(reason) ?? [];
  if (jobCodes.includes(code)) return new RotationError(code as RotationErrorCode, message);
  return new RotationError('invalid_request', reason);
}
