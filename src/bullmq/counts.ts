/** How many jobs an instance's queue, or a results queue, holds. */
import type { Queue } from 'bullmq';

export interface JobCounts {
  /** With a priority or without. */
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
}

/** Events of a results queue that no consumer is done with. */
export interface EventCounts extends JobCounts {
  /** Given up by BullMQ, or no events of this version. */
  readonly failed: number;
}

/** `delayed`: mostly those whose consumer failed, and which are tried again. */
export async function countEvents(queue: Queue): Promise<EventCounts> {
  const [counts, failed] = await Promise.all([countJobs(queue), queue.getFailedCount()]);
  return { ...counts, failed };
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
