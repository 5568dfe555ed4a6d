/**
 * The state of every group and instance, read from Redis for operators. Contains no link, code or token, so it may be
 * shown anywhere.
 */
import { z } from 'zod';
import { capacityOfBucket } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import {
  countEvents,
  countJobs,
  type EventCounts,
  type JobCounts,
  pausedQueues,
  queueKeys,
  waitingTimes,
} from '../bullmq/counts.ts';
import type { Config, GroupConfig, InstanceConfig } from '../config/config.ts';
import { type LinkReason, linkEvent } from '../contract/event.ts';
import { queuesOf, rotationsQueue } from '../contract/queueNames.ts';
import { readLiveWorkers, type WorkerNote } from '../groups/files.ts';
import { type GroupRecord, newRecord } from '../groups/record.ts';
import { type GroupState, groupStates, stateAt, stateScore } from '../groups/states.ts';
import { periodOf } from '../groups/statusIndexes.ts';
import { createGroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';

export interface GroupStatus {
  readonly group: string;
  /** Its name for people. Null if the file has none. */
  readonly title: string | null;
  readonly instance: string;
  /** Null while only a code or link is known. */
  readonly jid: string | null;
  readonly state: GroupState;
  /** Time since the link was stored. Null if there is none. */
  readonly linkAgeMs: number | null;
  /** Time from the start of the current link to the next scheduled rotation. Null without a link or a schedule. */
  readonly periodMs: number | null;
  readonly revision: number | null;
  /** Why the current link was published. Null if none was, or if that is not recorded. */
  readonly linkBy: LinkReason | null;
  readonly nextRotationAt: string | null;
  /** The last failure, if the group has not succeeded since. `count`: failures in a row, `since` the first of them. */
  readonly lastError: {
    readonly code: string;
    readonly message: string;
    readonly at: string;
    readonly since: string;
    readonly count: number;
  } | null;
  /** Reads in a row that failed or whose answer contained no link. */
  readonly unverified: number;
  /** The id under which the same WhatsApp group is rotated. */
  readonly duplicateOf: string | null;
}

export interface InstanceStatus {
  readonly instance: string;
  /** Null if no worker has used the instance's token yet. */
  readonly budget: { readonly used: number; readonly limit: number; readonly foreign: number } | null;
  /** Null unless the instance is paused. */
  readonly gate: { readonly reason: string; readonly opensInMs: number; readonly closedForMs: number | null } | null;
  readonly queue: JobCounts;
}

/** How long events of a results queue have been waiting. */
export interface Backlog {
  /** Age of the oldest event that waits. Null if none does. */
  readonly oldestAgeMs: number | null;
  /** For how long events kept arriving after the oldest one, without it being consumed. */
  readonly growingMs: number;
  /** Age of the oldest event that is not published yet. Null if there is none. */
  readonly unpublishedAgeMs: number | null;
}

/** A live worker. */
export interface WorkerStatus {
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  /** The configuration file in force: its hash, and since when. */
  readonly config: { readonly hash: string; readonly since: string };
}

export interface Status {
  readonly at: string;
  /** Time since the planner last ran. Null if it never did. */
  readonly lastTickAgeMs: number | null;
  readonly groups: readonly GroupStatus[];
  readonly instances: readonly InstanceStatus[];
  /** Paused BullMQ queues. */
  readonly paused: readonly string[];
  /** Events committed but not yet published, by results queue. */
  readonly outbox: Readonly<Record<string, number>>;
  /** Events published but not yet consumed, by results queue. */
  readonly results: Readonly<Record<string, number>>;
  readonly resultsByState: Readonly<Record<string, EventCounts>>;
  /** By results queue. */
  readonly backlog: Readonly<Record<string, Backlog>>;
  /** Live workers, the longest-running first. */
  readonly workers: readonly WorkerStatus[];
}

export async function readStatus(db: Database, config: Config): Promise<Status> {
  const { redis, prefix, keys } = db;
  const nowMs = await redisTime(db);
  const store = createGroupStore(db);
  const known = await store.registrations(config.groups.map(({ id }) => id));
  const readGroup = async (group: GroupConfig) => {
    const loaded = await readable(store.load(known.get(group.id)?.recordId ?? group.id));
    return loaded instanceof RecordError
      ? unreadableStatus(group, loaded, nowMs)
      : groupStatus(group, loaded.record, nowMs);
  };
  const byResultsQueue = async <T>(readOne: (queue: string) => Promise<T>): Promise<Record<string, T>> =>
    Object.fromEntries(await Promise.all(config.results.queues.map(async (queue) => [queue, await readOne(queue)])));
  const [groups, instances, lastTick, paused, outbox, resultsByState, backlog, workers] = await Promise.all([
    Promise.all(config.groups.map(readGroup)),
    Promise.all(config.instances.map((instance) => instanceStatus(db, instance, nowMs))),
    redis.get(keys.lastTick),
    pausedQueues(redis, prefix, queuesOf(config)),
    byResultsQueue((queue) => redis.llen(keys.outbox(queue))),
    byResultsQueue((queue) => countEvents(redis, queueKeys(db, queue))),
    byResultsQueue((queue) => readBacklog(db, queue, nowMs)),
    readLiveWorkers(db),
  ]);
  const order = (group: GroupStatus) => groupStates.indexOf(group.state);
  groups.sort((a, b) => order(a) - order(b) || (a.group < b.group ? -1 : 1));
  const totals = Object.entries(resultsByState).map(([queue, counts]) => [queue, totalOf(counts)]);
  return {
    at: new Date(nowMs).toISOString(),
    // Negative if Redis's clock was set back since.
    lastTickAgeMs: lastTick === null ? null : Math.max(nowMs - Number(lastTick), 0),
    groups,
    instances,
    paused,
    outbox,
    results: Object.fromEntries(totals),
    resultsByState,
    backlog,
    workers: workers.map(workerStatus),
  };
}

function workerStatus({ startedAt, config, ...note }: WorkerNote): WorkerStatus {
  const since = new Date(config.since).toISOString();
  return { ...note, startedAt: new Date(startedAt).toISOString(), config: { hash: config.hash, since } };
}

async function readBacklog(db: Database, queue: string, nowMs: number): Promise<Backlog> {
  const { redis, keys } = db;
  const [times, unpublished] = await Promise.all([
    waitingTimes(redis, queueKeys(db, queue)),
    redis.lindex(keys.outbox(queue), 0),
  ]);
  const committedAt = unpublished === null ? null : eventTime(unpublished);
  return {
    oldestAgeMs: times && Math.max(nowMs - times.oldestAt, 0),
    growingMs: times === null ? 0 : Math.max(times.newestAt - times.oldestAt, 0),
    unpublishedAgeMs: committedAt && Math.max(nowMs - committedAt, 0),
  };
}

const outboxEntry = z.preprocess((json) => {
  try {
    return JSON.parse(String(json));
  } catch {
    return null;
  }
}, linkEvent);

/** When an event was committed. Null if that is unknown: a failure may have no link, and so no time. */
function eventTime(json: string): number | null {
  const { data } = outboxEntry.safeParse(json);
  return data === undefined || data.type === 'rotation.failed' ? null : Date.parse(data.rotatedAt);
}

export function unreadableStatus(group: GroupConfig, { message }: RecordError, nowMs: number): GroupStatus {
  const at = new Date(nowMs).toISOString();
  return {
    ...groupStatus(group, newRecord, nowMs),
    state: 'unreadable_record',
    lastError: { code: 'unreadable_record', message, at, since: at, count: 1 },
  };
}

/** Pure. */
export function groupStatus(group: GroupConfig, record: GroupRecord, nowMs: number): GroupStatus {
  const { rotatedAt, revision, reason, dueAt, failure, unverified, duplicateOf } = record;
  return {
    group: group.id,
    title: group.title,
    instance: group.instance,
    jid: record.jid ?? (group.identifier.kind === 'jid' ? group.identifier.jid : null),
    state: stateAt(stateScore(record, group.enabled), nowMs),
    linkAgeMs: rotatedAt === null ? null : nowMs - rotatedAt,
    periodMs: group.enabled && rotatedAt !== null ? periodOf(group.schedule, rotatedAt) : null,
    revision,
    linkBy: reason,
    nextRotationAt: dueAt === null || !group.enabled ? null : new Date(dueAt).toISOString(),
    lastError: failure && {
      code: failure.code,
      message: failure.message,
      at: new Date(failure.at).toISOString(),
      since: new Date(failure.since ?? failure.at).toISOString(),
      count: failure.count,
    },
    unverified,
    duplicateOf,
  };
}

async function instanceStatus(db: Database, instance: InstanceConfig, nowMs: number): Promise<InstanceStatus> {
  const [bucket, gate, queue] = await Promise.all([
    db.redis.hget(db.keys.buckets, instance.name),
    readGate(db, instance.name, nowMs),
    countJobs(db.redis, queueKeys(db, rotationsQueue(instance.name))),
  ]);
  const capacity = bucket === null ? null : await capacityOfBucket(db, bucket, instance, 0);
  return {
    instance: instance.name,
    budget: capacity && { used: capacity.used, limit: capacity.limit, foreign: capacity.foreign },
    gate: gate && { reason: gate.reason, opensInMs: gate.opensInMs, closedForMs: gate.closedForMs },
    queue,
  };
}

/** Events that are not consumed yet. */
export function totalOf({ waiting, active, delayed, failed }: EventCounts): number {
  return waiting + active + delayed + failed;
}
