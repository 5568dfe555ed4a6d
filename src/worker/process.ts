/**
 * What a job of a `rotations-<instance>` queue is, and how its end is told to BullMQ: the one place that knows both
 * the rotation's outcomes and BullMQ's errors.
 *
 *   outcome                    BullMQ
 *   -------------------------  -----------------------------------------------------------------------------------
 *   link                       completed, with the contract's return value
 *   obsolete, verified         completed, null
 *   not now                    delayed for some seconds: another worker may know the group, or this one when it has read its file
 *   wait, nothing can go       the queue rests for that time (manual rate limit), the job goes back to its place
 *   wait, doubt, or a retry    delayed for that time, its own; our own count of tries, since a raw producer sets no `attempts`
 *   gave up, or bad data       failed for good: `<code>: <message>`
 */
import { isDeepStrictEqual } from 'node:util';
import { DelayedError, type Job, type Queue, UnrecoverableError, WaitingError } from 'bullmq';
import { z } from 'zod';
import { errorCodes } from '../contract/errorCodes.ts';
import type { RotationResult } from '../contract/request.ts';
import { type GroupRecord, knownLink } from '../groups/record.ts';
import { RecordError } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import { isConnectionError } from '../redis/errors.ts';
import { type Past, type RotateDependencies, type Rotation, rotate } from '../rotation/rotate.ts';
import type { Work } from '../rotation/types.ts';
import { type ReadJobDependencies, readJob, type Understood, unknownGroup } from './readJob.ts';
import { type RefuseDependencies, reportRefused } from './refuse.ts';
import { reportRotation } from './report.ts';
import type { JobLock } from './watchedWorker.ts';

export interface ProcessDependencies extends RotateDependencies, RefuseDependencies, ReadJobDependencies {
  readonly log: Logger;
  readonly observer: Observer;
  /** Called for a group that nobody has registered. Registers it and returns true if the file in force has it. */
  readonly onUnknown: (name: string) => Promise<boolean>;
  /** Called for a record that a one-off needs and Redis has lost. */
  readonly onLost: (recordId: string) => Promise<void>;
}

/** Our own note on a job, kept in BullMQ's progress: it outlives the process. */
const progress = z
  .object({
    tries: z.int().nonnegative(),
    /** BullMQ's count of runs that ended: somebody may have it run again, from a dashboard, and then it starts anew. */
    run: z.int().nonnegative().default(0),
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
  .catch({ tries: 0, run: 0, doubted: null });
/** After something unforeseen, and between its tries. */
const unforeseenMs = 5_000;
/** What another worker may know better, or this one when it has read its file, comes back after this time. */
const notNowMs = 3_000;
/** A job on another instance's queue hears of no gate that opens: it asks again after this time at the latest. */
const foreignMs = 10_000;

export async function processJob(
  deps: ProcessDependencies,
  queue: Queue,
  instance: string,
  job: Job,
  lock: JobLock,
): Promise<RotationResult | null> {
  const past = pastOf(job);
  let name = '';
  let servedBy = instance;
  let rotation: Rotation;
  let work: Work;
  try {
    const understood = await understand(deps, instance, job);
    name = understood.name;
    if (understood.kind === 'refused') {
      await reportRefused(deps, instance, understood);
      throw new UnrecoverableError(understood.message);
    }
    if (understood.kind === 'notNow') return await delay(job, lock, notNowMs);
    if (understood.kind === 'obsolete') return null;
    work = understood.work;
    servedBy = understood.servedBy;
    rotation = await rotate(deps, understood.recordId, work, past);
    if (rotation.status === 'wait' && rotation.why === 'lost') await deps.onLost(understood.recordId);
    if (!understood.registered && isOrphaned(deps, instance, servedBy, rotation)) rotation = { status: 'unregistered' };
    if (rotation.status === 'unregistered' && work.kind === 'request') {
      await reportRefused(deps, instance, { ...understood, work, message: unknownGroup(name) });
    }
  } catch (error) {
    if (error instanceof UnrecoverableError || error instanceof DelayedError) throw error;
    if (error instanceof RecordError) {
      deps.log.error({ event: 'group.unreadable', group: name }, error.message);
      throw new UnrecoverableError(`internal: ${error.message}`);
    }
    // Redis is away: that says nothing of the job, and costs it no try.
    if (error instanceof Error && isConnectionError(error)) return await delay(job, lock, unforeseenMs);
    deps.log.error({ event: 'job.unforeseen', group: name, err: error }, 'unexpected error in a job');
    if (past.tries + 1 >= deps.retry.attempts) throw new UnrecoverableError(`internal: ${messageOf(error)}`);
    return await delay(job, lock, unforeseenMs, { ...past, tries: past.tries + 1 });
  }

  reportRotation(deps, { group: name, instance: servedBy, work: work.kind }, rotation);
  switch (rotation.status) {
    case 'rotated':
    case 'recovered':
    case 'satisfied':
      return resultOf(rotation.status, rotation.record);
    case 'verified':
    case 'obsolete':
      return null;
    case 'unregistered':
      throw new UnrecoverableError(unknownGroup(name));
    case 'wait':
      if (rotation.past !== undefined && !isDeepStrictEqual(rotation.past, past)) await note(job, rotation.past);
      if (servedBy !== instance) return await delay(job, lock, Math.min(rotation.ms, foreignMs));
      if (!rotation.closed) return await delay(job, lock, rotation.ms);
      return await putBack(queue, job, lock, rotation.ms);
    case 'retry':
      return await delay(job, lock, rotation.ms, { ...past, tries: past.tries + 1 });
    case 'doubted':
      return await delay(job, lock, rotation.ms, { ...past, doubted: rotation.failure });
    case 'gaveUp':
      throw new UnrecoverableError(`${rotation.failure.code}: ${rotation.failure.message}`);
  }
}

/** No file has the group, and nobody's the instance that could still look what became of its link. */
function isOrphaned(
  { callerOf, instanceOwner }: ProcessDependencies,
  instance: string,
  servedBy: string,
  rotation: Rotation,
): boolean {
  if (rotation.status !== 'wait' || rotation.why !== 'elsewhere') return false;
  return instanceOwner(instance) === 'none' && callerOf(servedBy) === null;
}

/** A Redis that was just emptied may know nothing yet of a group that the file has. */
async function understand(deps: ProcessDependencies, instance: string, job: Job): Promise<Understood> {
  const understood = await readJob(deps, instance, job);
  if (understood.kind !== 'refused' || understood.recordId !== null) return understood;
  return (await deps.onUnknown(understood.name)) ? await readJob(deps, instance, job) : understood;
}

/** What this run of the job has noted. */
function pastOf(job: Job): Past {
  const { run, ...past } = progress.parse(job.progress);
  return run === job.attemptsMade ? past : { tries: 0, doubted: null };
}

/** Whether a delayed job would only ask for its slot, rather than make its next try, if it came now. */
export function waitsForSlot(job: Job): boolean {
  const { tries, doubted } = pastOf(job);
  return tries === 0 && doubted === null;
}

async function note(job: Job, past: Past): Promise<void> {
  await job.updateProgress({ ...past, run: job.attemptsMade });
}

/** Puts the job aside, with a new note if there is one; always throws, which is how BullMQ is told. */
async function delay(job: Job, { token }: JobLock, ms: number, past?: Past): Promise<never> {
  if (past !== undefined) await note(job, past);
  await job.moveToDelayed(Date.now() + ms, token);
  throw new DelayedError();
}

/**
 * Lets the queue rest and puts the job back to its front; always throws, which is how BullMQ is told. Jobs that were
 * taken later are put back before it, or they would stand in reverse order.
 */
async function putBack(queue: Queue, job: Job, lock: JobLock, ms: number): Promise<never> {
  await queue.rateLimit(ms);
  await lock.laterJobsDone();
  await job.moveToWait(lock.token);
  throw new WaitingError();
}

function resultOf(status: RotationResult['status'], record: GroupRecord): RotationResult {
  const link = knownLink(record);
  const group = record.entry?.group;
  if (link === null || group === undefined) throw new Error('a one-off was answered without a link');
  return { status, group, ...link };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
