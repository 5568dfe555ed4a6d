/** Follows Redis's clock for this process, and says when the machine's own clock is far from it. */
import type { Logger } from '../log.ts';
import { createRedisClock, type RedisClock } from '../redis/clock.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';

/** More than this is a machine without a time service, not one that is slow to answer. */
const toleratedMs = 5_000;

export interface FollowedClock extends RedisClock {
  /** Reads it again; warns once for each time that the machine's clock goes wrong. */
  follow(): Promise<void>;
}

export function followClock(redis: RedisClient, keys: Keys, log: Logger): FollowedClock {
  const clock = createRedisClock(redis, keys.lastTick);
  let isWrong = false;
  return {
    ...clock,
    async follow() {
      await clock.read();
      const aheadMs = Date.now() - clock.now();
      const wasWrong = isWrong;
      isWrong = Math.abs(aheadMs) > toleratedMs;
      if (!isWrong || wasWrong) return;
      const seconds = Math.round(Math.abs(aheadMs) / 1000);
      const message = `this machine's clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} Redis's: jobs go by Redis's`;
      log.warn({ event: 'clock.wrong', aheadMs }, message);
    },
  };
}
