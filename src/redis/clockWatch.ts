/**
 * Notices that a clock was set back, by the steady clock of this process: Redis's clock and this machine's are each
 * compared with that, and never with each other.
 */

/** A clock that is slewed, or corrected by less than this, is not worth mentioning. */
const toleranceMs = 1_000;

export interface ClockWatch {
  /** By how much the clock was set back since it was last read, ms; 0: it was not. */
  read(): Promise<ClockReading>;
}

export interface ClockReading {
  readonly backMs: number;
  /** What the clock shows now. */
  readonly nowMs: number;
}

/** `readClock` may take any time. */
export function watchClock(readClock: () => number | Promise<number>): ClockWatch {
  let last: { readonly nowMs: number; readonly readAt: number } | null = null;
  return {
    async read() {
      const askedAt = performance.now();
      const nowMs = await readClock();
      // At least so much time has passed between the two readings.
      const leastMs = last === null ? 0 : last.nowMs + (askedAt - last.readAt);
      last = { nowMs, readAt: performance.now() };
      const backMs = Math.round(leastMs - nowMs);
      return { backMs: backMs > toleranceMs ? backMs : 0, nowMs };
    },
  };
}
