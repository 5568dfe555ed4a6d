/** How many jobs an instance's queue, or a results queue, holds. */
import type { Queue } from 'bullmq';

export interface JobCounts {
  /** With a priority or without. */
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
}

export async function countJobs(queue: Queue): Promise<JobCounts> {
  const {
    wait = 0,
    prioritized = 0,
    active = 0,
    delayed = 0,
  } = await queue.getJobCounts('wait', 'prioritized', 'active', 'delayed');
  return { waiting: wait + prioritized, active, delayed };
}
