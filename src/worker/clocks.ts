/**
 * Clocks. This process follows Redis's clock, and warns if the machine's own is far from it. After a clock was set back,
 * whatever waits for a time of day would wait for that much longer: leases, read-backs, slots, pauses and delayed jobs. All
 * of them are brought forward. Several workers may do this at once.
 */

import type { Queue } from 'bullmq';
import { slotHoldMs, waitListKeys } from '../budget/budget.ts';
import { rewindGate } from '../budget/gate.ts';
import type { Config } from '../config/config.ts';
import { type GroupStore, readable } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { postponeMs } from '../planner/planner.ts';
import { createRedisClock, type RedisClock, watchClock } from '../redis/clock.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { maxLeaseMs } from '../rotation/call.ts';
import { rewound, type Setback } from '../rotation/rewound.ts';

/** A larger difference means that the machine has no time service, rather than that Redis answers slowly. */
const toleratedMs = 5_000;

export interface Clocks extends RedisClock {
  /** Reads Redis's clock again. Warns once each time that the machine's clock goes wrong. */
  follow(): Promise<void>;
  /** Whether Redis's clock or this machine's was set back since the last call. */
  readSetback(): Promise<Setback | null>;
}

export function createClocks(db: Database, log: Logger): Clocks {
  const clock = createRedisClock(db.redis, db.keys.lastTick);
  const watches = { redis: watchClock(() => redisTime(db)), machine: watchClock(() => Date.now()) };
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
      log.warn(
        { event: 'clock.wrong', aheadMs },
        `this machine's clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} Redis's: jobs go by Redis's`,
      );
    },
    async readSetback() {
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

export interface SetbackDependencies extends Database {
  readonly store: GroupStore;
  readonly config: Config;
  readonly clocks: Clocks;
  readonly queueOf: (instance: string) => Queue;
  readonly resultsQueueOf: (name: string) => Queue;
}

/** After Redis's clock was set back, stamps of one-offs made by it are not believed for at most this long. */
const doubtMs = 24 * 3_600_000;
/** Groups rewritten at the same time. */
const chunk = 250;

/** Brings forward what waits for a time that lies further in the future than it did. `noticedWithinMs`: after the setback. */
export async function repairSetback(
  deps: SetbackDependencies,
  setback: Setback,
  noticedWithinMs: number,
): Promise<void> {
  const { redis, keys, config, clocks, queueOf, resultsQueueOf } = deps;
  await clocks.follow();
  if (setback.beforeMs > setback.nowMs) {
    // Stamps up to here may have been made before the clock was set back or after that.
    await redis.set(keys.clockDoubt, setback.beforeMs + noticedWithinMs, 'PX', doubtMs);
    await rewindWorkers(deps, setback);
    await rewindSlots(deps, setback);
    for (const { name } of config.instances) {
      await rewindGate(deps, name, setback.beforeMs - setback.nowMs);
    }
    await rewindGroups(deps, setback);
  }
  // Instances that left the file are among the announced ones: jobs may be on their queues.
  const announced = await redis.zrange(keys.instances, '0', '-1');
  for (const name of new Set([...config.instances.map(({ name }) => name), ...announced])) {
    await queueOf(name).promoteJobs();
    await queueOf(name).removeRateLimitKey();
  }
  for (const name of config.results.queues) await resultsQueueOf(name).promoteJobs();
}

/** Otherwise a worker that died before the setback would count as alive until the clock has caught up. */
async function rewindWorkers({ redis, keys }: SetbackDependencies, { nowMs }: Setback): Promise<void> {
  const late = await redis.zrangebyscore(keys.workers, `(${nowMs}`, '+inf');
  if (late.length > 0) await redis.zadd(keys.workers, 'XX', ...late.flatMap((worker) => [nowMs, worker]));
}

/** A slot then counts for as long as one that is taken now, which is longer than it would have otherwise. */
async function rewindSlots({ redis, keys, config }: SetbackDependencies, { nowMs }: Setback): Promise<void> {
  const buckets = await redis.hgetall(keys.buckets);
  for (const { name, rateLimit, paceMs } of config.instances) {
    if (Number((await redis.get(keys.pace(name))) ?? 0) > nowMs) {
      await redis.set(keys.pace(name), nowMs, 'PX', Math.max(paceMs, 1), 'XX');
    }
    const bucket = buckets[name];
    if (bucket === undefined) continue;
    const lastMs = nowMs + slotHoldMs(config.api.timeoutMs, rateLimit.perMs);
    const late = await redis.zrangebyscore(keys.slots(bucket), `(${lastMs}`, '+inf');
    if (late.length > 0) await redis.zadd(keys.slots(bucket), 'XX', ...late.flatMap((slot) => [lastMs, slot]));
    // The server's count as last seen goes by the clock as well: the next answer shows it again.
    await redis.del(keys.bucket(bucket));
    // So does the wait list: those on it ask again, and join it again.
    for (const key of waitListKeys(keys, bucket)) await redis.del(key);
  }
}

/** Each group is moved to its new places in the indexes; a group that cannot be read stays where it is. */
async function rewindGroups({ redis, keys, store, config }: SetbackDependencies, setback: Setback): Promise<void> {
  const times = { leaseMs: maxLeaseMs, settleTimeMs: config.api.settleTimeMs };
  const affected = new Set(await redis.zrangebyscore(keys.unsettled, `(${setback.nowMs}`, '+inf'));
  for (const { name } of config.instances) {
    const postponedUntil = setback.beforeMs + postponeMs;
    for (const id of await redis.zrangebyscore(keys.due(name), `(${setback.nowMs}`, postponedUntil)) affected.add(id);
  }
  const rewind = (id: string) =>
    store.edit(async (reader) => {
      const record = await reader.record(id);
      return { records: record.entry === null ? {} : { [id]: rewound(record, setback, times) }, result: undefined };
    });
  const ids = [...affected];
  for (let from = 0; from < ids.length; from += chunk) {
    await Promise.all(ids.slice(from, from + chunk).map((id) => readable(rewind(id))));
  }
}
