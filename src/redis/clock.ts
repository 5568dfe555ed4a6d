/**
 * Two clocks that follow another by this process's steady clock. `RedisClock` is Redis's time without a round trip: it does
 * not jump with the machine's clock, and is wrong by at most half a round trip. `ClockWatch` notices that a clock was set
 * back.
 */
import { redisTimeAt } from './database.ts';
import type { RedisClient } from './scripts.ts';

export interface RedisClock {
  /** Redis's time, milliseconds since 1970. Before the first reading: this machine's. */
  now(): number;
  /** Reads Redis's time again. */
  read(): Promise<void>;
}

/** `key`: any key that the user may access; it is not touched. */
export function createRedisClock(redis: RedisClient, key: string): RedisClock {
  /** Redis's time when the steady clock was at 0. */
  let origin = Date.now() - performance.now();
  let isRead = false;
  return {
    now: () => Math.round(origin + performance.now()),
    async read() {
      const sentAt = performance.now();
      const time = await redisTimeAt(redis, key);
      const receivedAt = performance.now();
      const measured = time - (sentAt + receivedAt) / 2;
      // An origin within the error of this reading stays: a slow reply would only make it worse.
      if (isRead && Math.abs(measured - origin) <= (receivedAt - sentAt) / 2 + 1) return;
      origin = measured;
      isRead = true;
    },
  };
}

/** Smaller corrections, and a clock that is slewed, are not reported. */
const toleranceMs = 1_000;

export interface ClockReading {
  /** How far the clock was set back since the last reading, in ms; 0 if it was not. */
  readonly backMs: number;
  readonly nowMs: number;
}

export interface ClockWatch {
  read(): Promise<ClockReading>;
}

/** `readClock` may take any time to answer. */
export function watchClock(readClock: () => number | Promise<number>): ClockWatch {
  let last: { readonly nowMs: number; readonly readAt: number } | null = null;
  return {
    async read() {
      const askedAt = performance.now();
      const nowMs = await readClock();
      // At least this much time has passed between the two readings.
      const minMs = last === null ? 0 : last.nowMs + (askedAt - last.readAt);
      last = { nowMs, readAt: performance.now() };
      const backMs = Math.round(minMs - nowMs);
      return { backMs: backMs > toleranceMs ? backMs : 0, nowMs };
    },
  };
}
