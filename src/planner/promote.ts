/** Lets jobs that wait for a slot ask for it now, if slots are idle because the jobs before them were removed or never came. */

import type { Job } from 'bullmq';
import { bucketOf } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import { countJobs } from '../bullmq/counts.ts';
import type { InstanceConfig } from '../config/config.ts';
import { groupBy } from '../groupBy.ts';
import { redisTime } from '../redis/database.ts';
import { refreshWaitLists } from './agenda.ts';
import { type HeadroomDependencies, tickMs } from './headroom.ts';
import { inSeparateLanes } from './lanes.ts';

/** Delayed jobs examined per instance: more than most tokens serve in a minute. */
const maxDelayed = 200;
const lanes = 50;

/**
 * Promotes waiting jobs of tokens with idle slots. A promoted job asks the budget as usual, so promoting too many only makes
 * them wait again. Returns their number. `waitsForSlot`: whether a delayed job waits for a slot, rather than for its next
 * try.
 */
export async function promoteWaiting(deps: HeadroomDependencies, waitsForSlot: (job: Job) => boolean): Promise<number> {
  const { redis, keys, config, tokenOf, onFailure } = deps;
  const buckets = new Set(await redis.smembers(keys.waitLists));
  if (buckets.size === 0) return 0;
  await refreshWaitLists(deps, [...buckets]);
  const sharing = groupBy(config.instances, ({ name }) => bucketOf(tokenOf(name)));
  const waiting = [...sharing].flatMap(([bucket, instances]) => (buckets.has(bucket) ? [instances] : []));
  const promoted = await inSeparateLanes(
    waiting,
    lanes,
    (instances) => promoteOfToken(deps, instances, waitsForSlot),
    (instances, error) =>
      onFailure(
        instances.map(({ name }) => name),
        error,
      ),
  );
  return promoted.reduce((sum, count) => sum + count, 0);
}

async function promoteOfToken(
  deps: HeadroomDependencies,
  instances: readonly InstanceConfig[],
  waitsForSlot: (job: Job) => boolean,
): Promise<number> {
  const { budget, tokenOf, onFailure } = deps;
  const [first] = instances;
  if (first === undefined) return 0;
  // Jobs whose turn comes before the next tick need no promotion.
  const { callable } = await budget.capacity(first, tokenOf(first.name), tickMs);
  if (callable === 0) return 0;
  const nowMs = await redisTime(deps);
  const promoted = await inSeparateLanes(
    instances,
    lanes,
    (instance) => promoteOfInstance(deps, instance, { callable, nowMs, waitsForSlot }),
    ({ name }, error) => onFailure([name], error),
  );
  return promoted.reduce((sum, count) => sum + count, 0);
}

interface Promotion {
  /** Of the token. */
  readonly callable: number;
  readonly nowMs: number;
  readonly waitsForSlot: (job: Job) => boolean;
}

async function promoteOfInstance(
  { queueOf, ...db }: HeadroomDependencies,
  { name }: InstanceConfig,
  { callable, nowMs, waitsForSlot }: Promotion,
): Promise<number> {
  const queue = queueOf(name);
  const [gate, counts] = await Promise.all([readGate(db, name, nowMs), countJobs(db.redis, queue)]);
  const idle = callable - counts.waiting - counts.active;
  if (gate !== null || idle <= 0 || counts.delayed === 0) return 0;
  const delayed = await queue.getDelayed(0, maxDelayed - 1);
  let promoted = 0;
  for (const job of delayed.filter(waitsForSlot).slice(0, idle)) if (await promote(job)) promoted += 1;
  return promoted;
}

/** False if a worker has taken the job meanwhile, or if it was removed. */
async function promote(job: Job): Promise<boolean> {
  try {
    await job.promote();
    return true;
  } catch (error) {
    if (await job.isDelayed()) throw error;
    return false;
  }
}
