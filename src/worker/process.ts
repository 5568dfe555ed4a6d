/** Runs one job of a `rotations-<instance>` queue: reads it, rotates its group, and completes it by the result. */
import type { Job, Queue } from 'bullmq';
import { type RotationResult, requestJob } from '../contract/request.ts';
import { failureOf } from '../groups/failedOneOffs.ts';
import { RecordError } from '../groups/store.ts';
import { isConnectionError } from '../redis/errors.ts';
import { rotate, unknownGroup } from '../rotation/rotate.ts';
import type { JobProgress, JobResult } from '../rotation/types.ts';
import { type Attributes, currentSpan } from '../tracing/spans.ts';
import { complete, identityOfJob, progressOf, startRun } from './complete.ts';
import { readFlow } from './flow.ts';
import { holdsOneOffOf } from './leftovers.ts';
import { type JobDependencies, readJob, type Task } from './readJob.ts';
import { publishRefusal } from './refuse.ts';
import { reportResult } from './report.ts';
import type { JobLock } from './watchedWorker.ts';

/** Until the next run after an unexpected error, or when Redis cannot be reached. */
const afterErrorMs = 5_000;
/** A job that waits alone for a gate is not promoted when the gate opens, so it asks again after at most this time. */
const maxForeignWaitMs = 10_000;

export async function processJob(
  deps: JobDependencies,
  queue: Queue,
  instance: string,
  job: Job,
  lock: JobLock,
): Promise<RotationResult | null> {
  const past = progressOf(job);
  let group = '';
  let result: JobResult;
  try {
    if (job.name === requestJob) await startRun(deps, queue, job);
    const reported = await reportedFailure(deps, job);
    const read = reported ?? (await readFlow(job)) ?? (await readJob(deps, instance, job, past));
    if ('work' in read) {
      group = read.name;
      result = await runTask(deps, instance, read, past);
    } else {
      result = read;
      if (read.status === 'retry') reportResult(deps, { group: 'unknown', instance, work: 'request' }, read);
    }
    if (result.status === 'refused' && reported === null) await publishRefusal(deps, instance, job, result);
    result = await limitWait(deps, queue, instance, result);
  } catch (error) {
    result = afterError(deps, group, past, error);
    if (result.status === 'refused') result = await afterPublishing(deps, instance, job, result);
  }
  traceResult(job, { instance, group: group || null }, result);
  return await complete(deps, queue, job, lock, result);
}

/** How a one-off ends whose worker was killed between the event of its failure and the end of the job. Null: it was not. */
async function reportedFailure(deps: JobDependencies, job: Job): Promise<JobResult | null> {
  if (job.name !== requestJob || job.attemptsStarted < 2) return null;
  const message = await failureOf(deps, identityOfJob(job));
  return message === null ? null : { status: 'refused', message };
}

/** `queued_ms`: from the push until this run took the job, with all earlier runs. */
function traceResult({ timestamp, processedOn = timestamp }: Job, about: Attributes, result: JobResult): void {
  const span = currentSpan();
  span.set({ ...about, outcome: result.status, queued_ms: Math.max(processedOn - timestamp, 0) });
  if (result.status === 'wait') span.event('delayed', { why: result.why, wait_ms: result.ms });
  if (result.status === 'retry' || result.status === 'doubted') {
    span.event('delayed', { why: result.failure.code, wait_ms: result.ms });
  }
  if (result.status === 'gaveUp') span.fail(result.failure.code);
  if (result.status === 'refused') span.fail(result.message.startsWith('internal:') ? 'internal' : 'invalid_request');
}

async function runTask(
  deps: JobDependencies,
  instance: string,
  { recordId, work, name, servedBy, registered }: Task,
  past: JobProgress,
): Promise<JobResult> {
  const result = await rotate(deps, recordId, work, past);
  if (result.status === 'wait' && result.why === 'lost') await deps.onLost(recordId);
  if (!registered && work.kind === 'request' && isOrphaned(deps, instance, servedBy, result)) {
    return { status: 'refused', message: unknownGroup(name), oneOff: { name, work, recordId } };
  }
  const request = work.kind === 'request' ? work.request : null;
  reportResult(deps, { group: name, instance: servedBy, work: work.kind, request }, result);
  return result;
}

/** A paused queue would hold back the one-offs on it whose groups have moved to another instance. */
async function limitWait(
  { store, callerOf }: JobDependencies,
  queue: Queue,
  instance: string,
  result: JobResult,
): Promise<JobResult> {
  if (result.status !== 'wait' || result.deniedBy === undefined) return result;
  const isForeign = result.deniedBy !== instance;
  const mayHold = !isForeign && result.why === 'gate';
  const isServed = (other: string) => callerOf(other) !== null;
  if (!isForeign && !(mayHold && (await holdsOneOffOf(store, queue, instance, isServed)))) return result;
  const { deniedBy: _, ...alone } = result;
  return { ...alone, ms: Math.min(result.ms, maxForeignWaitMs) };
}

/** No file has the group, and no file has the instance that could still read its link. */
function isOrphaned(
  { callerOf, instanceOwner }: JobDependencies,
  instance: string,
  servedBy: string,
  result: JobResult,
): boolean {
  if (result.status !== 'wait' || result.why !== 'elsewhere') return false;
  return instanceOwner(instance) === 'none' && callerOf(servedBy) === null;
}

/**
 * Publishes the failure of a one-off that an error has ended. If Redis cannot be reached, the job waits instead. Any other
 * error costs the event, and the job still ends.
 */
async function afterPublishing(
  deps: JobDependencies,
  instance: string,
  job: Job,
  refused: JobResult & { readonly status: 'refused' },
): Promise<JobResult> {
  try {
    await publishRefusal(deps, instance, job, refused);
    return refused;
  } catch (error) {
    const isOutage = error instanceof Error && isConnectionError(error);
    return isOutage ? { status: 'wait', ms: afterErrorMs, why: 'redis' } : refused;
  }
}

function afterError({ log, retry }: JobDependencies, group: string, past: JobProgress, error: unknown): JobResult {
  if (error instanceof RecordError) {
    log.error({ event: 'group.unreadable', group }, error.message);
    return { status: 'refused', message: `internal: ${error.message}` };
  }
  // Redis cannot be reached: that says nothing about the job, so no try is used up.
  if (error instanceof Error && isConnectionError(error)) return { status: 'wait', ms: afterErrorMs, why: 'redis' };
  log.error({ event: 'job.unexpected', group, err: error }, 'unexpected error in a job');
  const tries = past.tries + 1;
  if (tries < retry.attempts) return { status: 'wait', ms: afterErrorMs, why: 'error', progress: { ...past, tries } };
  return { status: 'refused', message: `internal: ${error instanceof Error ? error.message : String(error)}` };
}
