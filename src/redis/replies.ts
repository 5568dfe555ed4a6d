/** What the library makes of an error that Redis or its client answers with. */
import { isOfConnection, isOfLogin, reasonOf, refusalOf } from './errors.ts';

/** Whether the same command may be tried again later: it was not done. A login that is refused is the caller's to put right. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && isOfConnection(error) && !isOfLogin(refusalOf(error));
}

/**
 * The error without the command that failed: ioredis attaches its arguments, which may be a password or a link, and
 * whoever prints the error prints them too.
 */
export function withoutCommand(error: unknown): Error {
  return new Error(error instanceof Error ? reasonOf(error) : String(error));
}
