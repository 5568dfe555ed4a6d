/** How a one-off's failure is told to the program that asked for it. */
import { type ErrorCode, errorCodes } from '../ryze/outcome.ts';

/** `internal`: an error of the worker itself that nobody foresaw. */
export type RotationErrorCode = ErrorCode | 'internal';

/** A rotation that was asked for and not made. */
export class RotationError extends Error {
  override readonly name = 'RotationError';
  /** One of the contract's codes; `invalid_request` for a request that no worker could serve. */
  readonly code: RotationErrorCode;

  constructor(code: RotationErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const codes: readonly string[] = [...errorCodes, 'internal'];

/** Reads a failed job's reason: `<code>: <message>`, or in plain words what was wrong with the request. */
export function rotationErrorOf(reason: unknown): RotationError {
  const text = reason instanceof Error ? reason.message : String(reason);
  const [, code = '', message = ''] = /^([a-z_]+): (.*)$/s.exec(text) ?? [];
  if (codes.includes(code)) return new RotationError(code as RotationErrorCode, message);
  return new RotationError('invalid_request', text);
}
