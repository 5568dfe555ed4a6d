/**
 * One-offs whose flow has other jobs under them, their children. BullMQ completes none of them before all its children
 * have ended, nor one that a child has failed. It may still be taken: with `continueParentOnFailure`, or if it is retried.
 * Its reset would be in vain then, so none is made.
 */
import type { Job } from 'bullmq';
import { childFailureOf } from '../bullmq/readableJobs.ts';
import { requestJob } from '../contract/request.ts';
import type { JobResult } from '../rotation/types.ts';
import { numberOf } from './ownIds.ts';

/** Null: no other job stands in its way. */
export async function readFlow(job: Job): Promise<JobResult | null> {
  const childFailure = childFailureOf(job);
  if (childFailure !== undefined) return { status: 'refused', message: childFailure };
  // Flows choose the ids of their jobs.
  if (job.name !== requestJob || numberOf(job) !== null) return null;
  const { failed = 0, unprocessed = 0 } = await job.getDependenciesCount({ failed: true, unprocessed: true });
  if (failed > 0) return { status: 'refused', message: 'another job of its flow has failed: retry that one first' };
  return unprocessed > 0 ? { status: 'wait', ms: 0, why: 'children' } : null;
}
