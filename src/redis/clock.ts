/**
 * Redis's clock as this process follows it: the last reading, carried on by the steady clock. So it needs no round trip,
 * and does not jump with the machine's own clock. It is off by half a round trip at most.
 */
import { redisTimeAt } from './database.ts';
import type { RedisClient } from './scripts.ts';

export interface RedisClock {
  /** Redis's time, milliseconds since 1970. Before the first reading, this machine's. */
  now(): number;
  /** Reads it again. */
  read(): Promise<void>;
}

/** `key`: any that the client may name; it is not touched. */
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
      const found = time - (sentAt + receivedAt) / 2;
      // What the reading does not contradict stays: a slow reply would only make it worse.
      if (isRead && Math.abs(found - origin) <= (receivedAt - sentAt) / 2 + 1) return;
      origin = found;
      isRead = true;
    },
  };
}

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
