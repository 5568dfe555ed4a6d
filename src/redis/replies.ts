/** What the library makes of an error that Redis or its client answers with. */
import { isOfConnection, reasonOf } from './trouble.ts';

/** Replies after which the same command works once Redis is well again: it was not done. Before Redis 7 a script's come after `-`. */
const passing = /(^|\s-)(LOADING|BUSY|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|OOM|MISCONF|NOREPLICAS|UNBLOCKED)\b/;

/** Whether the same command may be tried again later. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && (passing.test(error.message) || isOfConnection(error));
}

/**
 * The error without the command that failed: ioredis attaches its arguments, which may be a password or a link, and
 * whoever prints the error prints them too.
 */
export function withoutCommand(error: unknown): Error {
  return new Error(error instanceof Error ? reasonOf(error) : String(error));
}
