/** How long a consumer waits before it hands a failed event over again. */
import { doubled } from '../doubled.ts';

export interface RetryOptions {
  /** The delay after the first failure, in milliseconds. It doubles with each failure. Default: 1,000. */
  readonly baseDelayMs?: number;
  /** The longest delay, in milliseconds. Default: 60,000. */
  readonly maxDelayMs?: number;
}

/** The limit exists because events that another process has handled are never reported as ended. */
const maxKnown = 10_000;

/** Throws a `TypeError` for options that are not valid. `random` returns a number from 0 to 1. */
export function createBackOff(
  { baseDelayMs = 1_000, maxDelayMs = 60_000 }: RetryOptions = {},
  random: () => number = Math.random,
) {
  for (const [name, value] of Object.entries({ baseDelayMs, maxDelayMs })) {
    if (!(value > 0)) throw new TypeError(`retry.${name}: expected milliseconds above 0, found ${value}`);
  }
  /** Failures in a row by event id. The event that failed last comes last. */
  const failures = new Map<string, number>();
  return {
    /** Counts a failure of the event; returns how long to wait before the next try, in milliseconds. */
    failed(eventId: string): number {
      const count = (failures.get(eventId) ?? 0) + 1;
      failures.delete(eventId);
      failures.set(eventId, count);
      const [oldest] = failures.keys();
      if (failures.size > maxKnown && oldest !== undefined) failures.delete(oldest);
      const delayMs = doubled(baseDelayMs, count - 1, maxDelayMs);
      // Jitter, so that events that failed together are not retried together.
      return delayMs * (1 - random() / 2);
    },
    hasFailed: (eventId: string) => failures.has(eventId),
    /** Forgets the event: it was handled or dropped. */
    ended: (eventId: string) => void failures.delete(eventId),
  };
}
