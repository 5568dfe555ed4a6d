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
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const postponeLua = loadScript('postpone', import.meta.url);

export const scheduledJob = 'scheduled';
export const verifyJob = 'verify';

/** A job belongs to the record, whatever the group is called when the job runs. `group` is only for display. */
export const scheduledData = z.object({ record: z.string(), group: z.string(), dueAt: z.int().nonnegative() });
export const verifyData = z.object({ record: z.string(), group: z.string() });

/**
 * Why a link is read. `unsettled`: a call had no answer. `opinion`: a second opinion on a paused instance. `owed`: the
 * group is new or has returned to the file. `idle`: the verification period.
 */
export type ReadKind = 'unsettled' | 'opinion' | 'owed' | 'idle';

const priorities = { opinion: 5, scheduled: 10, owed: 10, idle: 20 };

/** A job for an instance's queue. */
export interface PlannerJob {
  readonly instance: string;
  readonly name: string;
  readonly data: { readonly record: string; readonly group: string; readonly dueAt?: number };
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
    data: { record: recordId, group },
    opts: {
      jobId: [kind, ...(attempts === undefined ? [] : [attempts]), recordId].join('.'),
      ...(kind === 'unsettled' ? { lifo: true } : { priority: priorities[kind] }),
      ...releasedRetention,
    },
  };
}

/** Adds each job to its instance's queue, as the start of a trace. BullMQ ignores a job while another one has its id. */
export async function release(queueOf: (instance: string) => Queue, jobs: readonly PlannerJob[]): Promise<void> {
  for (const [instance, own] of groupBy(jobs, (job) => job.instance)) {
    const traced = own.map(({ name, data, opts }) => {
      return { name, data, opts, about: { work: name, group: data.group, instance }, context: null };
    });
    await addTraced(queueOf(instance), 'release', traced);
  }
}

/** Periodic verifications that wait on a queue. */
export async function countVerifications(queue: Queue): Promise<number> {
  const counts = await queue.getCountsPerPriority([priorities.idle]);
  return counts[priorities.idle] ?? 0;
}

/** A record in one of the planner's indexes. */
export interface Head {
  /** Of the index. */
  readonly key: string;
  readonly recordId: string;
  /** Its time when it was read. */
  readonly score: number;
}

/** The first `count` records that are due, most overdue first, after the first `skip`. */
export async function readHead(
  redis: RedisClient,
  key: string,
  nowMs: number,
  { count, skip = 0 }: { readonly count: number; readonly skip?: number },
): Promise<Head[]> {
  const flat = await redis.zrangebyscore(key, '-inf', nowMs, 'WITHSCORES', 'LIMIT', skip, count);
  return Array.from({ length: flat.length / 2 }, (_, i) => {
    return { key, recordId: flat[2 * i] ?? '', score: Number(flat[2 * i + 1]) };
  });
}

export interface Postponed extends Head {
  /** The record's next time. Null removes it from the index. */
  readonly untilMs: number | null;
}

/** Returns the records that were postponed. The others have a new time already, so another worker handles them. */
export async function postpone(redis: RedisClient, postponed: readonly Postponed[]): Promise<ReadonlySet<string>> {
  const changed = new Set<string>();
  for (const [key, mine] of groupBy(postponed, (one) => one.key)) {
    const args = mine.flatMap(({ recordId, score, untilMs }) => [recordId, score, untilMs ?? '']);
    for (const recordId of (await runScript(redis, postponeLua, [key], args)) as string[]) changed.add(recordId);
  }
  return changed;
}

/** `Map.groupBy` is newer than Node.js 20. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
