/**
 * One-offs that have children: other jobs of their flow. BullMQ completes a job only after all its children have ended, and
 * not if one has failed it. With `continueParentOnFailure`, or if it is retried, the job can be taken before. No reset is
 * made for it then, because BullMQ could not record the answer.
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
