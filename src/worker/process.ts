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
import type { Config, GroupConfig } from '../config/config.ts';
import { lookUp } from '../config/lookup.ts';
import { ownerOfJid } from '../groups/jids.ts';
import { type GroupRecord, knownLink } from '../groups/record.ts';
import { RecordError } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import { scheduledData, scheduledJob, verifyData, verifyJob } from '../planner/release.ts';
import { parseRequest, type RotationResult, requestJob } from '../queues/request.ts';
import { rotationsQueue } from '../redis/keys.ts';
import type { Work } from '../rotation/attempt.ts';
import type { Target } from '../rotation/call.ts';
import { type Past, type RotateDependencies, type Rotation, rotate } from '../rotation/rotate.ts';
import { isJid } from '../ryze/identifier.ts';
import { errorCodes } from '../ryze/outcome.ts';
import type { Hold } from './instance.ts';

export interface ProcessDependencies extends RotateDependencies {
  readonly config: () => Config;
  readonly targetOf: (group: GroupConfig) => Target;
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
  const found = await readJob(deps, instance, job);
  if (found === null) return null;
  const { group, work } = found;
  const past = progress.parse(job.progress);

  let rotation: Rotation;
  try {
    rotation = await rotate(deps, deps.targetOf(group), work, past);
  } catch (error) {
    if (error instanceof RecordError) {
      deps.log.error({ event: 'group.unreadable', group: group.id }, error.message);
      throw new UnrecoverableError(`internal: ${error.message}`);
    }
    deps.log.error({ event: 'job.unforeseen', group: group.id, err: error }, 'a job met an error that nobody foresaw');
    if (past.tries + 1 >= deps.retry.attempts) throw new UnrecoverableError(`internal: ${messageOf(error)}`);
    return await delay(job, hold, unforeseenMs, { ...past, tries: past.tries + 1 });
  }

  report(deps, group, work, rotation);
  switch (rotation.status) {
    case 'rotated':
    case 'recovered':
    case 'satisfied':
      return resultOf(rotation.status, group.id, rotation.record);
    case 'verified':
    case 'obsolete':
      return null;
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

/** Checks what came off the queue. null: there is nothing to do any more. Throws what a producer must be told. */
async function readJob(
  deps: ProcessDependencies,
  instance: string,
  job: Job,
): Promise<{ group: GroupConfig; work: Work } | null> {
  switch (job.name) {
    case requestJob: {
      const parsed = parseRequest(job.data);
      if (!parsed.ok) throw new UnrecoverableError(parsed.message);
      const { group: name, requestedAt, requestId, requestedBy, reason } = parsed.request;
      const group = await findGroup(deps, instance, name);
      const request = { requestId: requestId ?? null, requestedBy: requestedBy ?? null, reason: reason ?? null };
      return { group, work: { kind: 'request', jobId: job.id ?? '', requestedAt: requestedAt ?? null, request } };
    }
    case scheduledJob: {
      const { group: id, dueAt } = parseInternal(scheduledData, job);
      const group = here(deps.config(), instance, id);
      return group === undefined ? null : { group, work: { kind: 'scheduled', dueAt } };
    }
    case verifyJob: {
      const group = here(deps.config(), instance, parseInternal(verifyData, job).group);
      return group === undefined ? null : { group, work: { kind: 'verification' } };
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

function here(config: Config, instance: string, id: string): GroupConfig | undefined {
  const group = lookUp(config).byId.get(id);
  return group?.instance === instance ? group : undefined;
}

async function findGroup(deps: ProcessDependencies, instance: string, name: string): Promise<GroupConfig> {
  const { byId, byJid } = lookUp(deps.config());
  const id = isJid(name) ? await ownerOfJid(deps.redis, deps.keys, name) : name;
  const group = byId.get(id ?? '') ?? byJid.get(name);
  const quoted = JSON.stringify(name.slice(0, 64));
  if (group === undefined) throw new UnrecoverableError(`unknown group ${quoted}: it is not in the configuration file`);
  if (group.instance !== instance) {
    throw new UnrecoverableError(
      `group ${quoted} belongs to instance "${group.instance}": push it to the queue "${rotationsQueue(group.instance)}"`,
    );
  }
  return group;
}

function resultOf(status: RotationResult['status'], group: string, record: GroupRecord): RotationResult {
  const link = knownLink(record);
  if (link === null) throw new Error(`group ${group} was answered without a link`);
  return { status, group, ...link };
}

/** One line for each outcome that somebody may want to know of. */
function report(
  { log, observer }: Pick<ProcessDependencies, 'log' | 'observer'>,
  group: GroupConfig,
  work: Work,
  rotation: Rotation,
): void {
  const about = { group: group.id, instance: group.instance, work: work.kind };
  switch (rotation.status) {
    case 'rotated':
    case 'recovered':
    case 'satisfied': {
      const revision = rotation.record.revision;
      observer.rotation(group.instance, rotation.status);
      log.info({ event: `rotation.${rotation.status}`, ...about, revision }, `${group.id}: ${said[rotation.status]}`);
      return;
    }
    case 'verified':
      if (!rotation.changed) return;
      observer.drift(group.instance);
      log.warn({ event: 'link.changed', ...about }, `${group.id}: someone else changed the link`);
      return;
    case 'retry': {
      const { code, message, httpStatus } = rotation.failure;
      const again = { retryInMs: rotation.ms, code, httpStatus };
      log.warn({ event: 'rotation.retry', ...about, ...again }, `${group.id}: ${code}: ${message}`);
      return;
    }
    case 'gaveUp': {
      const { code, message, httpStatus } = rotation.failure;
      observer.rotation(group.instance, 'failed');
      log.error({ event: 'rotation.failed', ...about, code, httpStatus }, `${group.id}: ${code}: ${message}`);
      return;
    }
    case 'doubted':
      log.debug(
        { event: 'rotation.doubted', ...about, code: rotation.failure.code },
        `${group.id}: failed; looks again`,
      );
      return;
    case 'wait':
      log.debug({ event: 'rotation.waits', ...about, why: rotation.why, ms: rotation.ms }, `${group.id}: waits`);
      return;
    case 'obsolete':
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
