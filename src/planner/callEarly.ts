/**
 * Lets jobs that wait for a slot come before the time that they were told, where slots are idle: those that waited before
 * them have been removed, or never came. Each asks the budget as ever, so one that is called for nothing only waits again.
 */
import type { Job } from 'bullmq';
import { readGate } from '../budget/gate.ts';
import { countJobs } from '../bullmq/counts.ts';
import { redisTime } from '../redis/scripts.ts';
import { type PlannerDependencies, tickMs } from './planner.ts';

export interface CallEarlyDependencies extends Omit<PlannerDependencies, 'store'> {
  /** Whether a delayed job waits for a slot, rather than for its next try. */
  readonly waitsForSlot: (job: Job) => boolean;
}

/** Delayed jobs looked at per instance: more than most tokens serve in a minute. */
const headSize = 200;

/** Returns how many jobs were called. */
export async function callEarly(deps: CallEarlyDependencies): Promise<number> {
  const { redis, keys, budget, config, tokenOf, queueOf, waitsForSlot } = deps;
  let called = 0;
  for (const instance of config.instances) {
    // Those whose turn comes before the next tick need no call.
    const { callable } = await budget.capacity(instance, tokenOf(instance.name), tickMs);
    if (callable === 0) continue;
    const queue = queueOf(instance.name);
    const [gate, counts] = await Promise.all([
      readGate(redis, keys, instance.name, await redisTime(redis, keys)),
      countJobs(queue),
    ]);
    const idle = callable - counts.waiting - counts.active;
    if (gate !== null || idle <= 0) continue;
    const delayed = await queue.getDelayed(0, headSize - 1);
    for (const job of delayed.filter(waitsForSlot).slice(0, idle)) if (await promote(job)) called += 1;
  }
  return called;
}

/** False: somebody else has taken it up, or removed it. */
async function promote(job: Job): Promise<boolean> {
  try {
    await job.promote();
    return true;
  } catch (error) {
    if (await job.isDelayed()) throw error;
    return false;
  }
}
