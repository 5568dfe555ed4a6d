/**
 * Leftover queues: those of instances that this worker's file lacks, because they were renamed or removed, or are in
 * another worker's file only. Every instance that was ever in a file is remembered in Redis. Jobs on a leftover queue are
 * processed where they are, so that producers get their results and a one-off keeps its identity. The call is made
 * by the instance that serves the group now.
 *
 * This worker serves a leftover queue if no live worker's file has its instance, or if a one-off on it is for a group of
 * one of its own instances. An instance whose queue stays empty is forgotten after 30 days.
 */
import type { Queue } from 'bullmq';
import { readQueues } from '../bullmq/counts.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { parseRequest, requestJob } from '../contract/request.ts';
import { findGroup } from '../groups/jids.ts';
import { historyMs } from '../groups/record.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';
import type { Base } from './base.ts';

/** How often each worker announces its instances and looks at the other queues. */
export const lookEveryMs = 5_000;
/** An instance that no worker has announced for this long has no owner. */
const unclaimedAfterMs = 60_000;
/** The same for an instance that left this worker's file: another worker that has it announces it within this time. */
const droppedAfterMs = 1.5 * lookEveryMs;
/** One-offs looked at per queue. */
const headSize = 50;

/**
 * Whose file has an instance: this worker's (`self`), another live worker's as far as is known (`other`), or `none`.
 */
export type InstanceOwner = 'self' | 'other' | 'none';

type LeftoversDependencies = Database & Pick<Base, 'store' | 'log' | 'queueOf' | 'config'>;

/** What this process knows of an instance that its file lacks. Times are of the steady clock. */
interface Absent {
  /** The last announcement; null: not read yet. */
  readonly announced: string | null;
  readonly unchangedSince: number;
  /** It was in this worker's file before. */
  readonly isDropped: boolean;
}

export function createLeftovers(deps: LeftoversDependencies) {
  const { redis, prefix, keys, log, queueOf, config } = deps;
  let own: ReadonlySet<string> = new Set();
  let isMigrated = false;
  const absent = new Map<string, Absent>();
  let served: ReadonlySet<string> = new Set();

  const isUnclaimed = ({ unchangedSince, isDropped }: Absent) =>
    performance.now() - unchangedSince >= (isDropped ? droppedAfterMs : unclaimedAfterMs);

  function instanceOwner(instance: string): InstanceOwner {
    if (config().instances.some(({ name }) => name === instance)) return 'self';
    const known = absent.get(instance);
    return known !== undefined && isUnclaimed(known) ? 'none' : 'other';
  }

  /** Only a change shows that a worker lives: clocks are not compared. */
  function note(instance: string, announced: string): Absent {
    const before = absent.get(instance);
    if (before?.announced === announced) return before;
    const isFirst = before?.announced === null;
    const now = isFirst ? { ...before, announced } : { announced, unchangedSince: performance.now(), isDropped: false };
    absent.set(instance, now);
    return now;
  }

  /** Announces the instances of the file in force. Must be called at the start and after each edit, too. */
  async function announce(): Promise<void> {
    const before = own;
    own = new Set(config().instances.map(({ name }) => name));
    for (const name of before) {
      if (!own.has(name)) absent.set(name, { announced: null, unchangedSince: performance.now(), isDropped: true });
    }
    for (const name of own) absent.delete(name);
    const nowMs = await redisTime(deps);
    if (!isMigrated) await migrate(deps, nowMs);
    isMigrated = true;
    if (own.size > 0) await redis.zadd(keys.instances, ...[...own].flatMap((name) => [nowMs, name]));
  }

  /** Announces, then returns the instances whose leftover queues this worker is to serve. */
  async function look(): Promise<readonly string[]> {
    await announce();
    const nowMs = await redisTime(deps);
    const serve: string[] = [];
    const all = pairs(await redis.zrange(keys.instances, '0', '-1', 'WITHSCORES')).filter(([name]) => !own.has(name));
    const states = await readQueues(
      redis,
      prefix,
      all.map(([name]) => rotationsQueue(name)),
    );
    for (const [name, announced] of all) {
      const known = note(name, announced);
      const { waiting, active, delayed } = states.get(rotationsQueue(name)) ?? { waiting: 0, active: 0, delayed: 0 };
      const jobs = waiting + active + delayed;
      if (jobs === 0 && Number(announced) < nowMs - historyMs) await forget(name);
      if (jobs === 0) continue;
      const queue = queueOf(name);
      if (!(isUnclaimed(known) || (await holdsOneOffOf(deps.store, queue, name, (other) => own.has(other))))) continue;
      serve.push(name);
      if (!served.has(name)) await begin(name, queue, jobs);
    }
    served = new Set(serve);
    return serve;
  }

  async function begin(instance: string, queue: Queue, jobs: number): Promise<void> {
    log.warn(
      { event: 'queue.leftover', instance, jobs },
      `${jobs} jobs are on the queue of ${instance}, which is not in the file: each is served by the current instance of its group, or fails if there is none`,
    );
    // The rate limit concerned an instance that no longer makes these calls.
    await queue.removeRateLimitKey();
  }

  async function forget(instance: string): Promise<void> {
    absent.delete(instance);
    await redis.hdel(keys.buckets, instance);
    await redis.srem(keys.gates, instance);
    await redis.zrem(keys.instances, instance);
  }

  return { instanceOwner, announce, look };
}

/** Versions that did not announce instances left their names in other places. */
async function migrate({ redis, keys, store }: LeftoversDependencies, nowMs: number): Promise<void> {
  const names = new Set(await redis.hkeys(keys.buckets));
  if ((await redis.exists(keys.instances)) === 0) {
    for (const known of (await store.registrations()).values()) {
      if (known !== null) names.add(known.entry.instance);
    }
  }
  if (names.size > 0) await redis.zadd(keys.instances, 'NX', ...[...names].flatMap((name) => [nowMs, name]));
}

/** Whether one of the first one-offs on this queue is for a group of such another instance. */
export async function holdsOneOffOf(
  store: GroupStore,
  queue: Queue,
  instance: string,
  isWanted: (instance: string) => boolean,
): Promise<boolean> {
  // An active job may be a dead worker's: only a worker of its queue notices that.
  const jobs = await queue.getJobs(['wait', 'prioritized', 'delayed', 'active'], 0, headSize - 1, true);
  const names = new Set<string>();
  for (const job of jobs) {
    const parsed = job?.name === requestJob ? parseRequest(job.data) : null;
    if (parsed?.ok === true) names.add(parsed.request.group);
  }
  for (const name of names) {
    const found = await readable(findGroup(store, name));
    if (found === null || found instanceof RecordError) continue;
    if (found.registered && found.entry.instance !== instance && isWanted(found.entry.instance)) return true;
  }
  return false;
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}
