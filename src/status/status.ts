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
import type { Config, InstanceConfig } from '../config/config.ts';
import { linkEvent } from '../contract/event.ts';
import { queuesOf, rotationsQueue } from '../contract/queueNames.ts';
import { readLiveWorkers, type WorkerNote } from '../groups/files.ts';
import { readServers } from '../groups/members.ts';
import { type Database, redisTime } from '../redis/database.ts';
import type { GroupStatus } from './groupStatus.ts';
import { type List, listOf, readList, type View } from './list.ts';
import { loadFromFile } from './load.ts';
import { readIndexed, readSummary, type Summary, summaryOf } from './summary.ts';

export interface InstanceStatus {
  readonly instance: string;
  /** Null if no worker has used the instance's token yet. */
  readonly budget: { readonly used: number; readonly limit: number; readonly foreign: number } | null;
  /** Null unless the instance is paused. */
  readonly gate: { readonly reason: string; readonly opensInMs: number; readonly closedForMs: number | null } | null;
  readonly queue: JobCounts;
  /** The live workers that serve it, the longest-running first. Workers of versions that serve everything are not named. */
  readonly servedBy: readonly { readonly host: string; readonly pid: number }[];
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
  /** How many of the instances shown it serves. Null for versions that serve everything, and while it starts or stops. */
  readonly serves: number | null;
}

/** What a status says of all groups, whichever of them it lists. */
export type StatusOfAll = Omit<Status, keyof List>;

export interface Status extends Summary, List {
  readonly at: string;
  /** Time since the planner last ran. Null if it never did. */
  readonly lastTickAgeMs: number | null;
  /** One page of them, the most urgent first. */
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

/** With every group on one page. */
export async function readStatus(db: Database, config: Config): Promise<Status> {
  const nowMs = await redisTime(db);
  const all = await loadFromFile(db, config.groups, nowMs);
  const list = listOf(all, { search: '', page: 1 }, Math.max(all.length, 1));
  return { ...(await readRest(db, config, nowMs)), ...summaryOf(all, namesOf(config)), ...list };
}

/** With one page of the groups, from the indexes if there are many groups. */
export interface StatusReader {
  readAll(): Promise<StatusOfAll>;
  read(view: View, size: number): Promise<Status>;
}

/** More groups than this are counted and listed by the indexes. Fewer are all read, so that no number is out of date. */
const few = 250;

/** What all views share is read once for all callers that arrive while it is read or shortly after. */
const sharedForMs = 2_000;

export function createStatusReader(db: Database, config: () => Config): StatusReader {
  const read = shared(sharedForMs, async () => {
    const current = config();
    const nowMs = await redisTime(db);
    const rest = readRest(db, current, nowMs);
    if (current.groups.length <= few) {
      const all = await loadFromFile(db, current.groups, nowMs);
      const list = (view: View, size: number) => Promise.resolve(listOf(all, view, size));
      return { ...(await rest), ...summaryOf(all, namesOf(current)), list };
    }
    const indexed = await readIndexed(db, current, nowMs);
    const list = (view: View, size: number) => readList(db, current, indexed, { view, size });
    return { ...(await rest), ...(await readSummary(db, current, indexed)), list };
  });
  return {
    readAll: read,
    async read(view, size) {
      const { list, ...rest } = await read();
      return { ...rest, ...(await list(view, size)) };
    },
  };
}

/** Calls `read` once for all callers that arrive while it runs or within this time after it. */
function shared<T>(forMs: number, read: () => Promise<T>): () => Promise<T> {
  let last: { readonly value: Promise<T>; endedAt: number } | null = null;
  return () => {
    if (last !== null && performance.now() - last.endedAt < forMs) return last.value;
    const reading = { value: read(), endedAt: Number.POSITIVE_INFINITY };
    last = reading;
    reading.value.then(
      () => {
        reading.endedAt = performance.now();
      },
      () => {
        if (last === reading) last = null;
      },
    );
    return reading.value;
  };
}

function namesOf({ instances }: Config): string[] {
  return instances.map(({ name }) => name);
}

/** Instances read at once. */
const atOnce = 50;

/** All but the groups. */
async function readRest(
  db: Database,
  config: Config,
  nowMs: number,
): Promise<Omit<Status, keyof Summary | keyof List>> {
  const { redis, prefix, keys } = db;
  const byResultsQueue = async <T>(readOne: (queue: string) => Promise<T>): Promise<Record<string, T>> =>
    Object.fromEntries(await Promise.all(config.results.queues.map(async (queue) => [queue, await readOne(queue)])));
  const serversOf = await readServers(db);
  const [instances, lastTick, paused, outbox, resultsByState, backlog, workers] = await Promise.all([
    readInstances(db, config.instances, serversOf, nowMs),
    redis.get(keys.lastTick),
    pausedQueues(redis, prefix, queuesOf(config)),
    byResultsQueue((queue) => redis.llen(keys.outbox(queue))),
    byResultsQueue((queue) => countEvents(redis, queueKeys(db, queue))),
    byResultsQueue((queue) => readBacklog(db, queue, nowMs)),
    readLiveWorkers(db),
  ]);
  const totals = Object.entries(resultsByState).map(([queue, counts]) => [queue, totalOf(counts)]);
  return {
    at: new Date(nowMs).toISOString(),
    // Negative if Redis's clock was set back since.
    lastTickAgeMs: lastTick === null ? null : Math.max(nowMs - Number(lastTick), 0),
    instances,
    paused,
    outbox,
    results: Object.fromEntries(totals),
    resultsByState,
    backlog,
    workers: workers.map((worker) => workerStatus(worker, instances)),
  };
}

async function readInstances(
  db: Database,
  instances: readonly InstanceConfig[],
  serversOf: (instance: string) => readonly WorkerNote[],
  nowMs: number,
): Promise<InstanceStatus[]> {
  const read: InstanceStatus[] = [];
  for (let from = 0; from < instances.length; from += atOnce) {
    const some = instances.slice(from, from + atOnce);
    read.push(
      ...(await Promise.all(some.map((instance) => instanceStatus(db, instance, serversOf(instance.name), nowMs)))),
    );
  }
  return read;
}

function workerStatus(worker: WorkerNote, instances: readonly InstanceStatus[]): WorkerStatus {
  const { host, pid, version, startedAt, config, serves } = worker;
  const isServed = ({ servedBy }: InstanceStatus) => servedBy.some((one) => one.host === host && one.pid === pid);
  return {
    ...{ host, pid, version, startedAt: new Date(startedAt).toISOString() },
    config: { hash: config.hash, since: new Date(config.since).toISOString() },
    serves: serves === undefined ? null : instances.filter(isServed).length,
  };
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

async function instanceStatus(
  db: Database,
  instance: InstanceConfig,
  servers: readonly WorkerNote[],
  nowMs: number,
): Promise<InstanceStatus> {
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
    servedBy: servers.map(({ host, pid }) => ({ host, pid })),
  };
}

/** Events that are not consumed yet. */
export function totalOf({ waiting, active, delayed, failed }: EventCounts): number {
  return waiting + active + delayed + failed;
}
