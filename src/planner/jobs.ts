/**
 * The planner's jobs on an instance's queue, and the records in its indexes that they are released for. Reads that settle
 * a reset come first, because consumers may hold a dead link until then. BullMQ takes one-offs next, because they carry no
 * priority, then released rotations and reads, then periodic verifications. A released record is postponed in its index,
 * so it is released again if its job gets lost.
 */
import type { JobsOptions, Queue } from 'bullmq';
import { z } from 'zod';
import { releasedRetention } from '../bullmq/options.ts';
import { addTraced } from '../bullmq/queues.ts';
import { groupBy } from '../groupBy.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import { inLanes } from './lanes.ts';

const postponeLua = loadScript('postpone', import.meta.url);

export const scheduledJob = 'scheduled';
export const verifyJob = 'verify';

/** A job belongs to the record, whatever the group is called when the job runs. `group` is only for display. */
export const scheduledData = z.object({ record: z.string(), group: z.string(), dueAt: z.int().nonnegative() });
export const verifyData = z.object({
  record: z.string(),
  group: z.string(),
  /** Why the link is read (`ReadKind`). Older versions did not store it. */
  kind: z.string().optional(),
});

/**
 * Why a link is read. `unsettled`: a call had no answer. `opinion`: a second opinion on a paused instance. `owed`: the
 * group is new or has returned to the file. `idle`: the verification period.
 */
export type ReadKind = 'unsettled' | 'opinion' | 'owed' | 'idle';

/** Commands under way at a time: enough to hide round trips, few enough not to block the event loop. */
const lanes = 50;

const priorities = { opinion: 5, scheduled: 10, owed: 10, idle: 20 };

/** A job for an instance's queue. */
export interface PlannerJob {
  readonly instance: string;
  readonly name: string;
  readonly data: z.infer<typeof scheduledData> | z.infer<typeof verifyData>;
  readonly opts: JobsOptions;
}

/** The group that a job is for. */
interface Target {
  readonly instance: string;
  readonly recordId: string;
  readonly group: string;
}

/** The job id contains the due time, so the same rotation is never queued twice. The delay counts from `releasedAt`. */
export function rotationJob(
  { instance, recordId, group }: Target,
  { dueAt, releasedAt, delayMs }: { readonly dueAt: number; readonly releasedAt: number; readonly delayMs: number },
): PlannerJob {
  return {
    instance,
    name: scheduledJob,
    data: { record: recordId, group, dueAt },
    opts: {
      jobId: `scheduled.${dueAt}.${recordId}`,
      priority: priorities.scheduled,
      timestamp: releasedAt,
      delay: delayMs,
      ...releasedRetention,
    },
  };
}

/**
 * `attempts`: the record's count, for a read that must not wait for an earlier one. BullMQ keeps the job of a killed
 * worker, and thus the job id, until its lock has expired.
 */
export function linkReadJob(kind: ReadKind, { instance, recordId, group }: Target, attempts?: number): PlannerJob {
  return {
    instance,
    name: verifyJob,
    data: { record: recordId, group, kind },
    opts: {
      jobId: [kind, ...(attempts === undefined ? [] : [attempts]), recordId].join('.'),
      ...(kind === 'unsettled' ? { lifo: true } : { priority: priorities[kind] }),
      ...releasedRetention,
    },
  };
}

/** Adds each job to its instance's queue, as the start of a trace. BullMQ ignores a job while another one has its id. */
export async function release(queueOf: (instance: string) => Queue, jobs: readonly PlannerJob[]): Promise<void> {
  await inLanes([...groupBy(jobs, (job) => job.instance)], lanes, async ([instance, own]) => {
    const traced = own.map(({ name, data, opts }) => {
      return { name, data, opts, about: { work: name, group: data.group, instance }, context: null };
    });
    await addTraced(queueOf(instance), 'release', traced);
  });
}

/** BullMQ's scores of periodic verifications: the priority, followed by 32 bits of a counter. */
export const verificationScores = { from: priorities.idle * 2 ** 32, to: (priorities.idle + 1) * 2 ** 32 - 1 };

/** A sorted set of records by the time at which they are handled next. */
export interface Index {
  readonly key: string;
  /** Where the first time of an instance's index is. Null for an index of all instances. */
  readonly first: { readonly key: string; readonly instance: string } | null;
}

/** The records of the instance that are due. */
export function dueIndex({ due, firstDue }: Keys, instance: string): Index {
  return { key: due(instance), first: { key: firstDue, instance } };
}

/** The records of the instance whose links are to be verified. */
export function verificationIndex({ verifications, firstVerification }: Keys, instance: string): Index {
  return { key: verifications(instance), first: { key: firstVerification, instance } };
}

/** A record in one of the planner's indexes. */
export interface Head {
  readonly index: Index;
  readonly recordId: string;
  /** Its time when it was read. */
  readonly score: number;
}

/** The first `count` records that are due, most overdue first, after the first `skip`. */
export async function readHead(
  redis: RedisClient,
  index: Index,
  nowMs: number,
  { count, skip = 0 }: { readonly count: number; readonly skip?: number },
): Promise<Head[]> {
  const flat = await redis.zrangebyscore(index.key, '-inf', nowMs, 'WITHSCORES', 'LIMIT', skip, count);
  return Array.from({ length: flat.length / 2 }, (_, i) => {
    return { index, recordId: flat[2 * i] ?? '', score: Number(flat[2 * i + 1]) };
  });
}

export interface Postponed extends Head {
  /** The record's next time. Null removes it from the index. */
  readonly untilMs: number | null;
}

/** Returns the records that were postponed. The others have a new time already, so another worker handles them. */
export async function postpone(redis: RedisClient, postponed: readonly Postponed[]): Promise<ReadonlySet<string>> {
  const changed = new Set<string>();
  const postponeIn = async (mine: readonly Postponed[], { key, first }: Index) => {
    const args = mine.flatMap(({ recordId, score, untilMs }) => [recordId, score, untilMs ?? '']);
    const indexKeys = first === null ? [key] : [key, first.key];
    const done = await runScript(redis, postponeLua, indexKeys, [first?.instance ?? '', ...args]);
    for (const recordId of done as string[]) changed.add(recordId);
  };
  const byIndex = [...groupBy(postponed, ({ index }) => index.key).values()];
  await inLanes(byIndex, lanes, (mine) => postponeIn(mine, (mine[0] as Postponed).index));
  return changed;
}
