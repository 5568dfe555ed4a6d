/** When an event whose handler failed is handed over again: after a doubling time with a cap, without end. */

export interface RetryOptions {
  /** After the first failure, in milliseconds. Default: 1,000. */
  readonly baseDelayMs?: number;
  /** Never longer than this, in milliseconds. Default: 60,000. */
  readonly maxDelayMs?: number;
}

export interface BackOff {
  /** Notes a failure of that event; returns how long to wait, in milliseconds. */
  failed(eventId: string): number;
  hasFailed(eventId: string): boolean;
  /** Forgets it: it was handled, or dropped. */
  ended(eventId: string): void;
}

/** Events that another process has handled since are forgotten one day. */
const maxKnown = 10_000;

/** Counts in memory: a consumer that is started again tries at once. `random`: from 0 to 1. */
export function createBackOff(
  { baseDelayMs = 1_000, maxDelayMs = 60_000 }: RetryOptions = {},
  random: () => number = Math.random,
): BackOff {
  for (const [name, value] of Object.entries({ baseDelayMs, maxDelayMs })) {
    if (!(value > 0)) throw new TypeError(`retry.${name}: expected milliseconds above 0, found ${value}`);
  }
  /** Event id → failures in a row. */
  const known = new Map<string, number>();
  return {
    failed(eventId) {
      const failures = (known.get(eventId) ?? 0) + 1;
      known.delete(eventId);
      known.set(eventId, failures);
      for (const oldest of known.keys()) {
        if (known.size <= maxKnown) break;
        known.delete(oldest);
      }
      const delayMs = Math.min(baseDelayMs * 2 ** Math.min(failures - 1, 40), maxDelayMs);
      // Many events that failed together do not come again together.
      return delayMs * (1 - random() / 2);
    },
    hasFailed: (eventId) => known.has(eventId),
    ended: (eventId) => void known.delete(eventId),
  };
}
