/**
 * Turns a job's result into one write to BullMQ: the only place that knows BullMQ's control errors.
 *
 *   result                          BullMQ
 *   ------------------------------  ------------------------------------------------------------------------------------
 *   rotated, recovered, satisfied   completed, with the contract's return value
 *   verified, obsolete              completed, null
 *   wait                            delayed, with a time of its own
 *   wait for children               waiting-children
 *   wait that pauses the queue      the queue is rate-limited for that time, and the job goes back to its place
 *   retry, doubted                  delayed; the tries are counted here, because a raw producer sets no `attempts`
 *   gaveUp, refused                 failed permanently: `<code>: <message>`, or the message
 */
import { isDeepStrictEqual } from 'node:util';
import { DelayedError, type Job, type Queue, UnrecoverableError, WaitingChildrenError, WaitingError } from 'bullmq';
import { z } from 'zod';
import { readGate } from '../budget/gate.ts';
import { errorCodes } from '../contract/errorCodes.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { identityOf, parseNamed, type RotationResult, requestJob } from '../contract/request.ts';
import { knownLink } from '../groups/record.ts';
import { replacedFields } from '../groups/revisions.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { digestOf } from '../redis/keys.ts';
import type { JobProgress, JobResult } from '../rotation/types.ts';
import { reasonOf } from '../ryze/outcome.ts';
import type { JobLock } from './watchedWorker.ts';

/** Kept in BullMQ's progress, so that it outlives the process. */
const storedProgress = z
  .object({
    tries: z.int().nonnegative(),
    /** How often the job had ended before. One that is run again, from a dashboard say, starts over. */
    run: z.int().nonnegative().default(0),
    /** Set when this run ends: how often the job had stalled by then. */
    ended: z.int().nonnegative().nullable().default(null),
    /** Digest of the name of the group, which a dashboard may change. Null: an older version has not noted it. */
    named: z.string().nullable().default(null),
    doubted: z
      .object({
        code: z.enum(errorCodes),
        message: z.string(),
        httpStatus: z.int().nullable(),
        isConvicted: z.boolean().default(false),
      })
      .nullable()
      .default(null),
  })
  .catch({ tries: 0, run: 0, ended: null, named: null, doubted: null });

/**
 * How often the job has ended before. Whoever runs it again may have reset BullMQ's own count. A job that has stalled
 * since it was about to end has not ended: its worker was killed.
 */
export function runOf(job: Job): number {
  const { run, ended } = storedProgress.parse(job.progress);
  const hasEnded = ended !== null && job.stalledCounter <= ended;
  return Math.max(job.attemptsMade, hasEnded ? run + 1 : run);
}

/** What tells this run of a one-off apart from all others. */
export function identityOfJob(job: Job): string {
  return identityOf({ queue: job.queueName, jobId: job.id, timestamp: job.timestamp, run: runOf(job) });
}

/** What earlier starts of this run noted about the same group. */
export function progressOf(job: Job): JobProgress {
  const { run, named, tries, doubted } = storedProgress.parse(job.progress);
  const isOfGroup = named === null || named === groupNamedBy(job);
  return isOfGroup && run === runOf(job) ? { tries, doubted } : { tries: 0, doubted: null };
}

/** Not the name itself, which may be a link: BullMQ also keeps progress in the queue's stream of events. */
function groupNamedBy({ data }: Job): string | null {
  const named = parseNamed(data);
  return named === null ? null : digestOf(named.group);
}

async function note(job: Job, over: Partial<z.infer<typeof storedProgress>>): Promise<void> {
  await job.updateProgress({ ...progressOf(job), run: runOf(job), named: groupNamedBy(job), ...over });
}

/**
 * Must be called before anything is done for a one-off, so that its run is known even if its worker dies. A job without a
 * time gets one: its id may be reused, and its time is what tells it apart.
 */
export async function startRun(db: Database, queue: Queue, job: Job): Promise<void> {
  const { run } = storedProgress.parse(job.progress);
  if (run !== runOf(job)) await note(job, {});
  if (Number.isFinite(job.timestamp)) return;
  job.timestamp = await redisTime(db);
  await db.redis.hset(queue.toKey(job.id ?? ''), 'timestamp', job.timestamp);
}

/** Notes that a one-off is about to end. It ends even if that cannot be noted: it may have been removed. */
async function endRun(job: Job): Promise<void> {
  await note(job, { ended: job.stalledCounter }).catch(() => {});
}

/** Whether a delayed job waits for a slot, rather than for its next try. */
export function waitsForSlot(job: Job): boolean {
  const { tries, doubted } = progressOf(job);
  return tries === 0 && doubted === null;
}

export async function complete(
  db: Database,
  queue: Queue,
  job: Job,
  lock: JobLock,
  result: JobResult,
): Promise<RotationResult | null> {
  const isDelayed = result.status === 'wait' || result.status === 'retry' || result.status === 'doubted';
  if (job.name === requestJob && !isDelayed) await endRun(job);
  switch (result.status) {
    case 'rotated':
    case 'recovered':
    case 'satisfied': {
      const link = knownLink(result.record);
      const group = result.record.entry?.group;
      if (link === null || group === undefined) throw new Error('a one-off was answered without a link');
      return { status: result.status, group, ...link, ...replacedFields(result.replaced ?? null) };
    }
    case 'verified':
    case 'obsolete':
      return null;
    case 'wait':
    case 'retry':
    case 'doubted':
      if (result.progress !== undefined && !isDeepStrictEqual(result.progress, progressOf(job))) {
        await note(job, result.progress);
      }
      if (result.status === 'wait' && result.why === 'children') await waitForChildren(job, lock);
      if (result.status === 'wait' && pausesQueue(queue, result)) return await putBack(db, queue, job, lock, result);
      await job.moveToDelayed(Date.now() + result.ms, lock.token);
      throw new DelayedError();
    case 'gaveUp':
      throw new UnrecoverableError(reasonOf(result.failure));
    case 'refused':
      throw new UnrecoverableError(result.message);
  }
}

/** Returns if the children have ended meanwhile, or one of them has failed. */
async function waitForChildren(job: Job, { token }: JobLock): Promise<void> {
  if (await job.moveToWaitingChildren(token).catch(() => false)) throw new WaitingChildrenError();
}

/**
 * Pause the queue only when no job on it could proceed. Jobs that wait for a slot or a pace are delayed individually. A
 * job whose group has moved to another instance waits for that instance, which says nothing about the other jobs.
 */
function pausesQueue({ name }: Queue, { why, deniedBy }: JobResult & { status: 'wait' }): boolean {
  return (why === 'exhausted' || why === 'gate') && deniedBy !== undefined && name === rotationsQueue(deniedBy);
}

/**
 * Pauses the queue and puts the job back to its front. Jobs that were taken later are put back first: otherwise they
 * would end up in reverse order.
 */
async function putBack(
  db: Database,
  queue: Queue,
  job: Job,
  lock: JobLock,
  { ms, why, deniedBy = '' }: JobResult & { status: 'wait' },
): Promise<never> {
  await queue.rateLimit(ms);
  // An edit may have opened the gate since it denied the job, and have lifted only earlier pauses of the queue.
  if (why === 'gate' && (await readGate(db, deniedBy, await redisTime(db))) === null) await queue.removeRateLimitKey();
  await lock.laterJobsDone();
  await job.moveToWait(lock.token);
  throw new WaitingError();
}
