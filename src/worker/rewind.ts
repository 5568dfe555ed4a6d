/**
 * Puts right what would stand still after Redis's clock was set back: leases, read-backs, slots and pauses that end at a time
 * which has become the future, and groups that the planner has held back until then. May run in several workers at once.
 */
import { slotHoldMs, waitListKeys } from '../budget/budget.ts';
import { rewindGate } from '../budget/gate.ts';
import type { Config } from '../config/config.ts';
import type { GroupStore } from '../groups/store.ts';
import { readable } from '../groups/store.ts';
import { postponeMs } from '../planner/planner.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { maxLeaseMs } from '../rotation/call.ts';
import { rewound, type Setback } from '../rotation/rewound.ts';

export interface RewindDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly config: Config;
}

/** Groups rewritten at the same time. */
const chunk = 250;

export async function rewind(deps: RewindDependencies, setback: Setback): Promise<void> {
  await rewindWorkers(deps, setback);
  await rewindSlots(deps, setback);
  await rewindGates(deps, setback);
  await rewindGroups(deps, setback);
}

/** A worker that died lately would count among the living until the clock has come as far again. */
async function rewindWorkers({ redis, keys }: RewindDependencies, { nowMs }: Setback): Promise<void> {
  const late = await redis.zrangebyscore(keys.workers, `(${nowMs}`, '+inf');
  if (late.length > 0) await redis.zadd(keys.workers, 'XX', ...late.flatMap((worker) => [nowMs, worker]));
}

/** A slot counts for as long as one that is taken now, which is longer than it would have. */
async function rewindSlots({ redis, keys, config }: RewindDependencies, { nowMs }: Setback): Promise<void> {
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
    // What is known of the server's count goes by the clock as well: the next answer shows it.
    await redis.del(keys.bucket(bucket));
    // So do the turns of those who wait: they ask again, and join the list again.
    for (const key of waitListKeys(keys, bucket)) await redis.del(key);
  }
}

async function rewindGates({ redis, keys, config }: RewindDependencies, { beforeMs, nowMs }: Setback): Promise<void> {
  for (const { name } of config.instances) await rewindGate(redis, keys, name, beforeMs - nowMs);
}

async function rewindGroups({ redis, keys, store, config }: RewindDependencies, setback: Setback): Promise<void> {
  const times = { leaseMs: maxLeaseMs, settleTimeMs: config.api.settleTimeMs };
  const found = new Set(await redis.zrangebyscore(keys.unsettled, `(${setback.nowMs}`, '+inf'));
  for (const { name } of config.instances) {
    const heldUntil = setback.beforeMs + postponeMs;
    for (const id of await redis.zrangebyscore(keys.due(name), `(${setback.nowMs}`, heldUntil)) found.add(id);
  }
  const ids = [...found];
  for (let from = 0; from < ids.length; from += chunk) {
    const some = ids.slice(from, from + chunk);
    // Each goes to its new places in the indexes; one that cannot be read stays where it is.
    await Promise.all(
      some.map((id) =>
        readable(
          store.edit(async (reader) => {
            const record = await reader.record(id);
            const isGone = record.entry === null;
            return { records: isGone ? {} : { [id]: rewound(record, setback, times) }, result: undefined };
          }),
        ),
      ),
    );
  }
}
