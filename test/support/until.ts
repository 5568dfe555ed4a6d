/**
 * Polls until a condition holds. The error names the condition; a function names it if its text is known only at the end.
 * The limit is only for what hangs. It is longer than a BullMQ worker that hangs needs to be recreated, on a busy machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export async function until<T>(
  what: string | (() => string),
  look: () => T | Promise<T>,
  { withinMs = 90_000 } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) {
      throw new Error(`waited ${withinMs} ms without success: ${typeof what === 'string' ? what : what()}`);
    }
    await sleep(15);
  }
}
