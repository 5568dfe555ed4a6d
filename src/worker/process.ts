/**
 * What a job of a `rotations-<instance>` queue is, and how its end is told to BullMQ: the one place that knows both
 * the rotation's outcomes and BullMQ's errors.
 *
 *   outcome                    BullMQ
 *   -------------------------  -----------------------------------------------------------------------------------
 *   link                       completed, with the contract's return value
 *   obsolete, verified         completed, null
 *   wait, nothing can go       the queue rests for that time (manual rate limit), the job goes back to its place
 *   wait, doubt, or a retry    delayed for that time, its own; our own count of tries, since a raw producer sets no `attempts`
 *   gave up, or bad data       failed for good: `<code>: <message>`
 */
import { DelayedError, type Job, type Queue, UnrecoverableError, WaitingError } from 'bullmq';
import { z } from 'zod';
import { findGroup } from '../groups/find.ts';
import { type Entry, type GroupRecord, knownLink } from '../groups/record.ts';
import { RecordError } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import { scheduledData, scheduledJob, verifyData, verifyJob } from '../planner/release.ts';
import { parseRequest, type RotationResult, requestJob } from '../queues/request.ts';
import { rotationsQueue } from '../redis/keys.ts';
import type { Work } from '../rotation/attempt.ts';
import { type Past, type RotateDependencies, type Rotation, rotate } from '../rotation/rotate.ts';
import { errorCodes } from '../ryze/outcome.ts';
import type { Hold } from './instance.ts';

export interface ProcessDependencies extends RotateDependencies {
  readonly log: Logger;
  readonly observer: Observer;
  /** Told of every job that this process takes off the queue of an instance. */
  readonly onTaken: (instance: string) => void;
}

/** Our own note on a job, kept in BullMQ's progress: it outlives the process. */
const progress = z
  .object({
    tries: z.int().nonnegative(),
    doubted: z
      .object({ code: z.enum(errorCodes), message: z.string(), httpStatus: z.int().nullable() })
      .nullable()
      .default(null),
  })
  .catch({ tries: 0, doubted: null });
/** After something unforeseen, and between its tries. */
const unforeseenMs = 5_000;

export async function processJob(
  deps: ProcessDependencies,
  queue: Queue,
  instance: string,
  job: Job,
  hold: Hold,
): Promise<RotationResult | null> {
  deps.onTaken(instance);
  const { recordId, work, name } = await readJob(deps, instance, job);
  const past = progress.parse(job.progress);

  let rotation: Rotation;
  try {
    rotation = await rotate(deps, recordId, work, past);
  } catch (error) {
    if (error instanceof RecordError) {
      deps.log.error({ event: 'group.unreadable', group: name }, error.message);
      throw new UnrecoverableError(`internal: ${error.message}`);
    }
    deps.log.error({ event: 'job.unforeseen', group: name, err: error }, 'a job met an error that nobody foresaw');
    if (past.tries + 1 >= deps.retry.attempts) throw new UnrecoverableError(`internal: ${messageOf(error)}`);
    return await delay(job, hold, unforeseenMs, { ...past, tries: past.tries + 1 });
  }

  report(deps, { group: name, instance, work: work.kind }, rotation);
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
      if (!rotation.closed) return await delay(job, hold, rotation.ms);
      return await putBack(queue, job, hold, rotation.ms);
    case 'retry':
      return await delay(job, hold, rotation.ms, { ...past, tries: past.tries + 1 });
    case 'doubted': {
      const { code, message, httpStatus } = rotation.failure;
      return await delay(job, hold, rotation.ms, { ...past, doubted: { code, message, httpStatus } });
    }
    case 'gaveUp':
      throw new UnrecoverableError(`${rotation.failure.code}: ${rotation.failure.message}`);
  }
}

/** Puts the job aside, with a new note if there is one; always throws, which is how BullMQ is told. */
async function delay(job: Job, { lock }: Hold, ms: number, past?: Past): Promise<never> {
  if (past !== undefined) await job.updateProgress(past);
  await job.moveToDelayed(Date.now() + ms, lock);
  throw new DelayedError();
}

/**
 * Lets the queue rest and puts the job back to its front; always throws, which is how BullMQ is told. Jobs that were
 * taken later are put back before it, or they would stand in reverse order.
 */
async function putBack(queue: Queue, job: Job, hold: Hold, ms: number): Promise<never> {
  await queue.rateLimit(ms);
  await hold.laterJobsDone();
  await job.moveToWait(hold.lock);
  throw new WaitingError();
}

/** A job as it was understood. `name`: what the log calls its group. */
interface Understood {
  readonly recordId: string;
  readonly work: Work;
  readonly name: string;
}

/** Checks what came off the queue. Throws what a producer must be told. */
async function readJob(deps: ProcessDependencies, instance: string, job: Job): Promise<Understood> {
  switch (job.name) {
    case requestJob: {
      const parsed = parseRequest(job.data);
      if (!parsed.ok) throw new UnrecoverableError(parsed.message);
      const { group: name, requestedAt, requestId, requestedBy, reason } = parsed.request;
      const { recordId, entry } = await findRequested(deps, instance, job, name);
      const request = { requestId: requestId ?? null, requestedBy: requestedBy ?? null, reason: reason ?? null };
      const work = { kind: 'request', jobId: job.id ?? '', requestedAt: requestedAt ?? null, request } as const;
      return { recordId, work, name: entry.group };
    }
    case scheduledJob: {
      const { record, group, dueAt } = parseInternal(scheduledData, job);
      return { recordId: record, work: { kind: 'scheduled', dueAt }, name: group };
    }
    case verifyJob: {
      const { record, group } = parseInternal(verifyData, job);
      return { recordId: record, work: { kind: 'verification' }, name: group };
    }
    default:
      throw new UnrecoverableError(
        `unknown job name ${JSON.stringify(job.name.slice(0, 64))}: expected "${requestJob}"`,
      );
  }
}

/** Jobs that only the planner pushes. */
function parseInternal<T extends z.ZodType>(schema: T, job: Job): z.output<T> {
  const parsed = schema.safeParse(job.data);
  if (parsed.success) return parsed.data;
  throw new UnrecoverableError(`bad data: "${job.name}" is a job of the program itself; push "${requestJob}"`);
}

/**
 * The group that a one-off asks for. One that its worker had taken before stays valid wherever its group has moved since:
 * it was accepted, and its reset may be in flight.
 */
async function findRequested(
  { redis, keys, store }: ProcessDependencies,
  instance: string,
  job: Job,
  name: string,
): Promise<{ readonly recordId: string; readonly entry: Entry }> {
  const found = await findGroup(redis, keys, store, name);
  if (found === null) throw new UnrecoverableError(unknownGroup(name));
  const { entry, registered } = found;
  if (entry.instance === instance || !registered || job.attemptsStarted > 1) return found;
  throw new UnrecoverableError(
    `group ${quote(name)} belongs to instance "${entry.instance}": push it to the queue "${rotationsQueue(entry.instance)}"`,
  );
}

function unknownGroup(name: string): string {
  return `unknown group ${quote(name)}: it is not in the configuration file`;
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}

function resultOf(status: RotationResult['status'], record: GroupRecord): RotationResult {
  const link = knownLink(record);
  const group = record.entry?.group;
  if (link === null || group === undefined) throw new Error('a one-off was answered without a link');
  return { status, group, ...link };
}

/** A link that could not be verified this often in a row is worth a warning. */
const unverifiedWarning = 3;

/** One line for each outcome that somebody may want to know of. */
function report(
  { log, observer }: Pick<ProcessDependencies, 'log' | 'observer'>,
  about: { readonly group: string; readonly instance: string; readonly work: Work['kind'] },
  rotation: Rotation,
): void {
  const { group, instance } = about;
  switch (rotation.status) {
    case 'rotated':
    case 'recovered':
    case 'satisfied': {
      const revision = rotation.record.revision;
      observer.rotation(instance, rotation.status);
      log.info({ event: `rotation.${rotation.status}`, ...about, revision }, `${group}: ${said[rotation.status]}`);
      return;
    }
    case 'verified':
      reportRead({ log, observer }, { ...about, group: rotation.group }, rotation);
      return;
    case 'retry': {
      const { code, message, httpStatus } = rotation.failure;
      const again = { retryInMs: rotation.ms, code, httpStatus };
      log.warn({ event: 'rotation.retry', ...about, ...again }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'gaveUp': {
      const { code, message, httpStatus } = rotation.failure;
      observer.rotation(instance, 'failed');
      log.error({ event: 'rotation.failed', ...about, code, httpStatus }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'doubted':
      log.debug({ event: 'rotation.doubted', ...about, code: rotation.failure.code }, `${group}: failed; looks again`);
      return;
    case 'wait':
      log.debug({ event: 'rotation.waits', ...about, why: rotation.why, ms: rotation.ms }, `${group}: waits`);
      return;
    case 'obsolete':
    case 'unregistered':
      return;
  }
}

function reportRead(
  { log, observer }: Pick<ProcessDependencies, 'log' | 'observer'>,
  about: { readonly group: string; readonly instance: string; readonly work: Work['kind'] },
  { published, unverified }: Rotation & { status: 'verified' },
): void {
  const { group, instance } = about;
  if (unverified > 0) observer.unverified(instance);
  if (unverified === unverifiedWarning) {
    log.warn(
      { event: 'link.unverified', ...about, times: unverified },
      `${group}: its link could not be verified ${unverified} times in a row: it may have been replaced unnoticed`,
    );
  }
  switch (published) {
    case 'drift':
      observer.drift(instance);
      log.warn({ event: 'link.changed', ...about }, `${group}: someone else changed the link`);
      return;
    case 'adopted':
      log.info({ event: 'link.adopted', ...about }, `${group}: its link is read and published`);
      return;
    case 'recovery':
      observer.rotation(instance, 'recovered');
      log.info({ event: 'rotation.recovered', ...about }, `${group}: ${said.recovered}`);
      return;
  }
}

const said = {
  rotated: 'new link',
  recovered: 'new link, read back after a call without an answer',
  satisfied: 'answered by a reset that began after the request',
} as const;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
