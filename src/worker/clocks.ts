/** This process's view of the clocks: it follows Redis's, and notices if one of them is wrong or was set back. */
import type { Logger } from '../log.ts';
import { createRedisClock, watchClock } from '../redis/clock.ts';
import { type Database, redisTime } from '../redis/database.ts';
import type { Setback } from '../rotation/rewound.ts';

/** A larger difference means that the machine has no time service, rather than that Redis answers slowly. */
const toleratedMs = 5_000;

export function createClocks(db: Database, log: Logger) {
  const clock = createRedisClock(db.redis, db.keys.lastTick);
  const watches = { redis: watchClock(() => redisTime(db)), machine: watchClock(() => Date.now()) };
  let isWrong = false;
  return {
    ...clock,
    /** Reads Redis's clock again. Warns once each time the machine's clock becomes wrong. */
    async follow() {
      await clock.read();
      const aheadMs = Date.now() - clock.now();
      const wasWrong = isWrong;
      isWrong = Math.abs(aheadMs) > toleratedMs;
      if (!isWrong || wasWrong) return;
      const seconds = Math.round(Math.abs(aheadMs) / 1000);
      log.warn(
        { event: 'clock.wrong', aheadMs },
        `this machine's clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} Redis's; jobs follow Redis's clock`,
      );
    },
    /** Whether Redis's clock or this machine's was set back since the last call; null: neither. */
    async readSetback(): Promise<Setback | null> {
      const { backMs: redisBackMs, nowMs } = await watches.redis.read();
      const { backMs: machineBackMs } = await watches.machine.read();
      const backMs = Math.max(redisBackMs, machineBackMs);
      if (backMs === 0) return null;
      const which = redisBackMs > 0 ? "Redis's clock" : "this machine's clock";
      log.warn({ event: 'clock.back', backMs }, `${which} was set back by ${Math.round(backMs / 1000)} s`);
      return { nowMs, beforeMs: nowMs + redisBackMs };
    },
  };
}
