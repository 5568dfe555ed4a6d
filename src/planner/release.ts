/**
 * The jobs that the planner puts onto an instance's queue. One-offs carry no priority, and BullMQ takes those first;
 * released rotations come after them, and verifications last.
 */
import type { Queue } from 'bullmq';
import { z } from 'zod';
import { releasedRetention } from '../bullmq/options.ts';

export const scheduledJob = 'scheduled';
export const verifyJob = 'verify';

/** `record` decides, whatever the group is called by the time that the job runs; `group` is for people. */
export const scheduledData = z.object({ record: z.string(), group: z.string(), dueAt: z.int().nonnegative() });
export const verifyData = z.object({ record: z.string(), group: z.string() });

/**
 * Why a link is read: a call without an answer, another group's failure (`secondOpinion.ts`), a first sight or a return,
 * or the verification period.
 */
export type ReadKind = 'unsettled' | 'opinion' | 'owed' | 'idle';

const priorities = { unsettled: 5, opinion: 5, scheduled: 10, owed: 10, idle: 20 };

export interface Release {
  readonly recordId: string;
  /** For people who look at the queue. */
  readonly group: string;
  readonly dueAt: number;
  /** By Redis's clock; the delay counts from then. */
  readonly releasedAt: number;
  /** From then; where a number keeps a pace, its jobs come at that. */
  readonly delayMs: number;
}

/** The job's id names the due time: the same rotation is never queued twice. */
export async function releaseScheduled(queue: Queue, releases: readonly Release[]): Promise<void> {
  await queue.addBulk(
    releases.map(({ recordId, group, dueAt, releasedAt, delayMs }) => ({
      name: scheduledJob,
      data: { record: recordId, group, dueAt },
      opts: {
        jobId: `scheduled.${dueAt}.${recordId}`,
        priority: priorities.scheduled,
        timestamp: releasedAt,
        delay: delayMs,
        ...releasedRetention,
      },
    })),
  );
}

/** Periodic verifications that wait in a queue. */
export async function countIdleReads(queue: Queue): Promise<number> {
  const counts = await queue.getCountsPerPriority([priorities.idle]);
  return counts[priorities.idle] ?? 0;
}

/** A link that is to be read. */
export interface Read {
  readonly recordId: string;
  readonly group: string;
  /**
   * The record's count of attempts, for a read that must not wait for an earlier one. BullMQ keeps the job of a killed
   * worker, and with it the job's id, until the lock has run out.
   */
  readonly attempts?: number;
}

/** Adds each read once: BullMQ ignores a job while another one has its id. */
export async function releaseReads(queue: Queue, kind: ReadKind, reads: readonly Read[]): Promise<void> {
  await queue.addBulk(
    reads.map(({ recordId, group, attempts }) => ({
      name: verifyJob,
      data: { record: recordId, group },
      opts: {
        jobId: [kind, ...(attempts === undefined ? [] : [attempts]), recordId].join('.'),
        priority: priorities[kind],
        ...releasedRetention,
      },
    })),
  );
}
