/**
 * Redis's clock as this process follows it: the last reading, carried on by the steady clock. So it needs no round trip,
 * and does not jump with the machine's own clock. It is off by half a round trip at most.
 */
import { type RedisClient, redisTimeAt } from './scripts.ts';

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
