/**
 * After a clock was set back, everything that waits for a time of day would be late by as much: leases, read-backs,
 * slots, pauses and delayed jobs. All of them are brought forward. Several workers may do this at once.
 */
import { slotTtlMs, waitListKeys } from '../budget/budget.ts';
import { rewindGate } from '../budget/gate.ts';
import { readable } from '../groups/store.ts';
import { postponeMs } from '../planner/planner.ts';
import { maxLeaseMs } from '../rotation/call.ts';
import { rewound, type Setback } from '../rotation/rewound.ts';
import type { Base } from './base.ts';

/** After Redis's clock was set back, timestamps that it gave to one-offs are ignored for at most this long. */
const doubtMs = 24 * 3_600_000;
/** Groups rewritten at the same time. */
const chunk = 250;

/**
 * Brings forward what waits for a time that lies further in the future than it did. `noticedWithinMs`: after the
 * setback.
 */
export async function repairSetback(base: Base, setback: Setback, noticedWithinMs: number): Promise<void> {
  const { redis, keys, clocks, queueOf, outbox } = base;
  const { instances, results } = base.config();
  await clocks.follow();
  if (setback.beforeMs > setback.nowMs) {
    // Stamps up to here may have been made before the clock was set back or after that.
    await redis.set(keys.clockDoubt, setback.beforeMs + noticedWithinMs, 'PX', doubtMs);
    await rewindWorkers(base, setback);
    await rewindSlots(base, setback);
    for (const { name } of instances) {
      await rewindGate(base, name, setback.beforeMs - setback.nowMs);
    }
    await rewindGroups(base, setback);
  }
  // Instances that left the file are among the announced ones: jobs may be on their queues.
  const announced = await redis.zrange(keys.instances, '0', '-1');
  for (const name of new Set([...instances.map(({ name }) => name), ...announced])) {
    await queueOf(name).promoteJobs();
    await queueOf(name).removeRateLimitKey();
  }
  for (const name of results.queues) await outbox.queueOf(name).promoteJobs();
}

/** Otherwise a worker that died before the setback would count as alive until the clock has caught up. */
async function rewindWorkers({ redis, keys }: Base, { nowMs }: Setback): Promise<void> {
  const late = await redis.zrangebyscore(keys.workers, `(${nowMs}`, '+inf');
  if (late.length > 0) await redis.zadd(keys.workers, 'XX', ...late.flatMap((worker) => [nowMs, worker]));
}

/** A slot then counts for as long as one that is taken now, which is longer than it would have otherwise. */
async function rewindSlots({ redis, keys, config }: Base, { nowMs }: Setback): Promise<void> {
  const { instances, api } = config();
  const buckets = await redis.hgetall(keys.buckets);
  for (const { name, rateLimit, paceMs } of instances) {
    if (Number((await redis.get(keys.pace(name))) ?? 0) > nowMs) {
      await redis.set(keys.pace(name), nowMs, 'PX', Math.max(paceMs, 1), 'XX');
    }
    const bucket = buckets[name];
    if (bucket === undefined) continue;
    const lastMs = nowMs + slotTtlMs(api.timeoutMs, rateLimit.perMs);
    for (const slots of [keys.slots(bucket), keys.verificationSlots(bucket)]) {
      const late = await redis.zrangebyscore(slots, `(${lastMs}`, '+inf');
      if (late.length > 0) await redis.zadd(slots, 'XX', ...late.flatMap((slot) => [lastMs, slot]));
    }
    // The server's last known count depends on the clock too: the next answer shows it again.
    await redis.del(keys.bucket(bucket));
    // So does the time for which verification gives way: at most one read too many.
    await redis.del(keys.verificationGivesWay(bucket));
    // So does the wait list: its waiters ask again and rejoin it.
    for (const key of waitListKeys(keys, bucket)) await redis.del(key);
  }
}

/** Each group is moved to its new places in the indexes; a group that cannot be read stays where it is. */
async function rewindGroups({ redis, keys, store, config }: Base, setback: Setback): Promise<void> {
  const { instances, api } = config();
  const times = { leaseMs: maxLeaseMs, settleTimeMs: api.settleTimeMs };
  const affected = new Set(await redis.zrangebyscore(keys.unsettled, `(${setback.nowMs}`, '+inf'));
  for (const { name } of instances) {
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
