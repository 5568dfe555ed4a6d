/**
 * What a queue holds, and whether its workers can take jobs from it. Counts read BullMQ's lists themselves, so that a
 * command that only shows numbers does not load BullMQ.
 */
import { randomUUID } from 'node:crypto';
import type { Queue } from 'bullmq';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import { limiter } from './options.ts';

const countsLua = loadScript('counts', import.meta.url);
const lastJobLua = loadScript('lastJob', import.meta.url);

export interface JobCounts {
  /** With or without a priority. */
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
}

/** Events on a results queue that have not been handled yet. `delayed`: mostly those that wait for a retry. */
export interface EventCounts extends JobCounts {
  /** BullMQ stopped retrying them, or they are not events of this version. */
  readonly failed: number;
}

/** Names the keys of a queue, as BullMQ's `Queue` does. */
export type QueueKeys = Pick<Queue, 'toKey'>;

export function queueKeys({ prefix }: { readonly prefix: string }, queue: string): QueueKeys {
  return { toKey: (part) => `${prefix}:${queue}:${part}` };
}

export async function countEvents(redis: RedisClient, queue: QueueKeys): Promise<EventCounts> {
  const [counts, failed] = await Promise.all([countJobs(redis, queue), redis.zcard(queue.toKey('failed'))]);
  return { ...counts, failed };
}

export async function countJobs(redis: RedisClient, queue: QueueKeys): Promise<JobCounts> {
  const [plain, prioritized, active, delayed] = await Promise.all([
    redis.llen(queue.toKey('wait')),
    redis.zcard(queue.toKey('prioritized')),
    redis.llen(queue.toKey('active')),
    redis.zcard(queue.toKey('delayed')),
  ]);
  return { waiting: plain + prioritized, active, delayed };
}

/** The number of the queue's newest job. `count`: names this count, which starts again if the queue is obliterated. */
export async function lastJob(
  redis: RedisClient,
  queue: QueueKeys,
): Promise<{ readonly lastJob: number; readonly count: string }> {
  const reply = await runScript(redis, lastJobLua, [queue.toKey('id'), queue.toKey('meta')], [randomUUID()]);
  const [number, count] = reply as [number, string];
  return { lastJob: number, count };
}

/** When the oldest and the newest waiting job were added, by their producers' clocks. */
export interface WaitingTimes {
  readonly oldestAt: number;
  readonly newestAt: number;
}

/** Null if no job waits. */
export async function waitingTimes(redis: RedisClient, queue: QueueKeys): Promise<WaitingTimes | null> {
  const list = queue.toKey('wait');
  const ids = await Promise.all([redis.lindex(list, -1), redis.lindex(list, 0)]);
  const times = await Promise.all(ids.map((id) => (id === null ? null : redis.hget(queue.toKey(id), 'timestamp'))));
  const [oldest = null, newest = null] = times;
  return oldest === null || newest === null ? null : { oldestAt: Number(oldest), newestAt: Number(newest) };
}

export interface QueueState extends JobCounts {
  /** Somebody has paused it. */
  readonly isPaused: boolean;
  /** The job that is taken next, and the one that has been active for longest: unchanged while nothing happens. */
  readonly heads: string;
}

/** Queues read by one command, which blocks Redis for about a millisecond. */
const chunk = 200;
const kinds = ['wait', 'prioritized', 'active', 'delayed', 'meta'] as const;

/** The states of the queues that hold a job or are paused: a process may have a thousand queues, most of them empty. */
export async function readQueues(
  redis: RedisClient,
  prefix: string,
  queues: readonly string[],
): Promise<ReadonlyMap<string, QueueState>> {
  const states = new Map<string, QueueState>();
  for (let from = 0; from < queues.length; from += chunk) {
    const some = queues.slice(from, from + chunk);
    const keys = some.flatMap((queue) => kinds.map((kind) => `${prefix}:${queue}:${kind}`));
    type Row = [number, number, number, number, number, string];
    for (const row of (await runScript(redis, countsLua, keys, [])) as Row[]) {
      const [i, waiting, active, delayed, paused, heads] = row;
      states.set(some[i] ?? '', { waiting, active, delayed, isPaused: paused === 1, heads });
    }
  }
  return states;
}

/** Those of the queues that are paused, for example with a dashboard. This program never resumes them. */
export async function pausedQueues(redis: RedisClient, prefix: string, queues: readonly string[]): Promise<string[]> {
  const states = await readQueues(redis, prefix, queues);
  return queues.filter((queue) => states.get(queue)?.isPaused);
}

/** Workers look for delayed jobs at least this often, so a delayed job may be taken this late. */
const lateMs = 10_000;
/** BullMQ's score of a delayed job is its time, followed by 12 bits of the job's number. */
const scoreBits = 0x1000;

/** Whether the queue has a job that a worker should be taking now. `nowMs`: by Redis's clock. */
export async function isRunnable(redis: RedisClient, queue: Queue, nowMs: number): Promise<boolean> {
  const { waiting, delayed } = await countJobs(redis, queue);
  if (waiting === 0 && (delayed === 0 || !(await isOverdue(redis, queue, nowMs)))) return false;
  const [isPaused, limitedForMs, isMaxed] = await Promise.all([
    queue.isPaused(),
    queue.getRateLimitTtl(limiter.max),
    queue.isMaxed(),
  ]);
  return !isPaused && limitedForMs <= 0 && !isMaxed;
}

async function isOverdue(redis: RedisClient, queue: QueueKeys, nowMs: number): Promise<boolean> {
  const latest = (nowMs - lateMs) * scoreBits;
  return (await redis.zcount(queue.toKey('delayed'), '-inf', latest)) > 0;
}
