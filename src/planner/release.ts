/**
 * The jobs that the planner puts onto an instance's queue. One-offs carry no priority, and BullMQ takes those first;
 * released rotations come after them, and verifications last.
 */
import type { Queue } from 'bullmq';
import { z } from 'zod';

export const scheduledJob = 'scheduled';
export const verifyJob = 'verify';

export const scheduledData = z.object({ group: z.string(), dueAt: z.int().nonnegative() });
export const verifyData = z.object({ group: z.string() });

const priorities = { scheduled: 10, verify: 20 };
/** A failed rotation is told by its event; its job is kept a while for whoever looks at the queue. */
const finished = { removeOnComplete: true, removeOnFail: { age: 7 * 24 * 3600, count: 1_000 } };

export interface Release {
  readonly group: string;
  readonly dueAt: number;
  /** From now; where a number keeps a pace, its jobs come at that. */
  readonly delayMs: number;
}

/** The job's id names the due time: the same rotation is never queued twice. */
export async function releaseScheduled(queue: Queue, releases: readonly Release[]): Promise<void> {
  await queue.addBulk(
    releases.map(({ group, dueAt, delayMs }) => ({
      name: scheduledJob,
      data: { group, dueAt },
      opts: { jobId: `scheduled.${dueAt}.${group}`, priority: priorities.scheduled, delay: delayMs, ...finished },
    })),
  );
}

export async function releaseVerifications(
  queue: Queue,
  releases: readonly { readonly group: string; readonly at: number }[],
): Promise<void> {
  await queue.addBulk(
    releases.map(({ group, at }) => ({
      name: verifyJob,
      data: { group },
      opts: { jobId: `verify.${at}.${group}`, priority: priorities.verify, ...finished },
    })),
  );
}
