/**
 * How many more jobs the tokens' budgets and the instances' gates allow until the planner's next tick. Counts what is
 * queued already, so queues stay short however much is due.
 */

import type { Job, Queue } from 'bullmq';
import type { Budget } from '../budget/budget.ts';
import { readGate, readProbing } from '../budget/gate.ts';
import { countJobs } from '../bullmq/counts.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { countVerifications } from './jobs.ts';

/** Between two ticks of the planner. */
export const tickMs = 5_000;
/** Delayed jobs examined per instance: more than most tokens serve in a minute. */
const maxDelayed = 200;

export interface HeadroomDependencies extends Database {
  readonly budget: Budget;
  /** The configuration in force when the tick starts. */
  readonly config: Pick<Config, 'instances'>;
  readonly tokenOf: (instance: string) => string;
  readonly queueOf: (instance: string) => Queue;
}

/** Of the instances that share one token. */
export interface Headroom {
  /** Calls that the token can serve until the next tick, less those that are queued, without verifications. */
  readonly free: number;
  /** Periodic verifications that are queued. */
  readonly verifications: number;
  /** Instances that are paused. Nothing is released to them. */
  readonly paused: ReadonlySet<string>;
  /** Instances whose gate lets one call at a time through, with the groups that should not be the probe. */
  readonly probing: ReadonlyMap<string, ReadonlySet<string>>;
  /** For each instance with a pace, the resets that it allows until the next tick. */
  readonly paced: ReadonlyMap<string, number>;
}

export async function readHeadroom(
  { budget, tokenOf, queueOf, ...db }: HeadroomDependencies,
  instances: Iterable<InstanceConfig>,
  nowMs: number,
): Promise<Headroom> {
  const paused = new Set<string>();
  const probing = new Map<string, ReadonlySet<string>>();
  const paced = new Map<string, number>();
  let free = Number.POSITIVE_INFINITY;
  let queued = 0;
  let verifications = 0;
  for (const instance of instances) {
    const { name, paceMs } = instance;
    const [gate, capacity, counts, ownVerifications] = await Promise.all([
      readGate(db, name, nowMs),
      budget.capacity(instance, tokenOf(name), tickMs),
      countJobs(db.redis, queueOf(name)),
      countVerifications(queueOf(name)),
    ]);
    const unfinished = counts.waiting + counts.active;
    queued += unfinished - ownVerifications;
    verifications += ownVerifications;
    free = Math.min(free, capacity.free);
    if (gate !== null && gate.opensInMs > 0) paused.add(name);
    else if (gate !== null) probing.set(name, (await readProbing(db, name, nowMs)).blamed);
    if (paceMs > 0) paced.set(name, Math.max(Math.ceil(tickMs / paceMs) - unfinished - counts.delayed, 0));
  }
  return { free: Math.max(free - queued, 0), verifications, paused, probing, paced };
}

/** Those that their instance's gate lets through. A probing gate gets one, of a group that is not blamed if possible. */
export function admit<T extends { readonly instance: InstanceConfig; readonly recordId: string }>(
  heads: readonly T[],
  { paused, probing }: Headroom,
): T[] {
  const probes = new Set<T | undefined>();
  for (const [name, blamed] of probing) {
    const own = heads.filter(({ instance }) => instance.name === name);
    probes.add(own.find(({ recordId }) => !blamed.has(recordId)) ?? own[0]);
  }
  return heads.filter((head) => {
    const { name } = head.instance;
    return !paused.has(name) && (!probing.has(name) || probes.has(head));
  });
}

/**
 * Promotes jobs that wait for a slot if slots are idle, because the jobs before them were removed or never came. A
 * promoted job asks the budget as usual, so promoting too many only makes them wait again. Returns their number.
 */
export async function promoteWaiting(
  { budget, config, tokenOf, queueOf, ...db }: HeadroomDependencies,
  /** Whether a delayed job waits for a slot, rather than for its next try. */
  waitsForSlot: (job: Job) => boolean,
): Promise<number> {
  let promoted = 0;
  for (const instance of config.instances) {
    // Jobs whose turn comes before the next tick need no promotion.
    const { callable } = await budget.capacity(instance, tokenOf(instance.name), tickMs);
    if (callable === 0) continue;
    const queue = queueOf(instance.name);
    const [gate, counts] = await Promise.all([
      readGate(db, instance.name, await redisTime(db)),
      countJobs(db.redis, queue),
    ]);
    const idle = callable - counts.waiting - counts.active;
    if (gate !== null || idle <= 0) continue;
    const delayed = await queue.getDelayed(0, maxDelayed - 1);
    for (const job of delayed.filter(waitsForSlot).slice(0, idle)) if (await promote(job)) promoted += 1;
  }
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
