/**
 * Looks after the queues of instances that this worker's file lacks: renamed, removed, or in another worker's file alone.
 * Every instance that was ever in a file is remembered in Redis. Jobs on the queue of such a one are taken up where they
 * lie, so whoever waits for them gets their end, and who a one-off is stays the same. The call is made by the instance
 * that serves the group now.
 *
 * A queue is worked off here if its instance is gone, or if a one-off on it is for a group that this worker serves. One
 * on which nothing lies costs its counts a look, and is forgotten after 30 days.
 */
import type { Queue } from 'bullmq';
import { countJobs } from '../bullmq/counts.ts';
import type { Config } from '../config/config.ts';
import { parseRequest, requestJob } from '../contract/request.ts';
import { findGroup } from '../groups/jids.ts';
import { historyMs } from '../groups/record.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import type { Instances } from './queues.ts';

/** How often each worker says which instances it has, and looks at the others' queues. */
export const lookEveryMs = 5_000;
/** An instance that no worker names for so long is gone. */
const goneAfterMs = 60_000;
/** The same where an edit of this worker's file has taken it out: another worker that has it says so by then. */
const droppedAfterMs = 1.5 * lookEveryMs;
/** One-offs looked at per queue and state. */
const headSize = 50;

/**
 * Whose file has an instance: this worker's (`self`), another live worker's as far as is known (`other`), or `none`.
 */
export type InstanceOwner = 'self' | 'other' | 'none';

export interface Leftovers {
  instanceOwner(instance: string): InstanceOwner;
  /** Says which instances this worker's file has: at the start, after an edit, and again at each look. */
  announce(): Promise<void>;
  /** Works off what this worker can of the other instances' queues. */
  look(): Promise<void>;
}

export interface LeftoversDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly log: Logger;
  readonly instances: Instances;
  readonly inForce: () => Config;
}

/** What this process knows of an instance that its file lacks. Times are of the steady clock. */
interface Absent {
  /** As it was last announced; null: that was not looked at yet. */
  readonly announced: string | null;
  readonly unchangedSince: number;
  readonly isDropped: boolean;
}

export function createLeftovers(deps: LeftoversDependencies): Leftovers {
  const { redis, keys, log, instances, inForce } = deps;
  let mine: ReadonlySet<string> = new Set();
  let isKnown = false;
  const absent = new Map<string, Absent>();
  let served: ReadonlySet<string> = new Set();

  const isGone = ({ unchangedSince, isDropped }: Absent) =>
    performance.now() - unchangedSince >= (isDropped ? droppedAfterMs : goneAfterMs);

  function instanceOwner(instance: string): InstanceOwner {
    if (inForce().instances.some(({ name }) => name === instance)) return 'self';
    const known = absent.get(instance);
    return known !== undefined && isGone(known) ? 'none' : 'other';
  }

  /** Judged by whether it changes: no two clocks are compared. */
  function note(instance: string, announced: string): Absent {
    const before = absent.get(instance);
    if (before?.announced === announced) return before;
    const isFirst = before?.announced === null;
    const now = isFirst ? { ...before, announced } : { announced, unchangedSince: performance.now(), isDropped: false };
    absent.set(instance, now);
    return now;
  }

  async function announce(): Promise<void> {
    const before = mine;
    mine = new Set(inForce().instances.map(({ name }) => name));
    for (const name of before) {
      if (!mine.has(name)) absent.set(name, { announced: null, unchangedSince: performance.now(), isDropped: true });
    }
    for (const name of mine) absent.delete(name);
    const nowMs = await redisTime(redis, keys);
    if (!isKnown) await recallAll(deps, nowMs);
    isKnown = true;
    if (mine.size > 0) await redis.zadd(keys.instances, ...[...mine].flatMap((name) => [nowMs, name]));
  }

  async function look(): Promise<void> {
    await announce();
    const nowMs = await redisTime(redis, keys);
    const serve: string[] = [];
    for (const [name, announced] of pairs(await redis.zrangebyscore(keys.instances, '-inf', '+inf', 'WITHSCORES'))) {
      if (mine.has(name)) continue;
      const known = note(name, announced);
      const queue = instances.queueOf(name);
      const { waiting, active, delayed } = await countJobs(queue);
      if (waiting + active + delayed === 0) {
        if (Number(announced) < nowMs - historyMs) await forget(name);
      } else if (isGone(known) || (await hasOurs(deps, mine, queue, name))) {
        serve.push(name);
        if (served.has(name)) continue;
        tell(name, waiting + active + delayed);
        // Whatever it rested for concerned an instance that makes these calls no more.
        await queue.removeRateLimitKey();
      }
    }
    served = new Set(serve);
    await instances.serveLeftovers(serve);
  }

  function tell(instance: string, jobs: number): void {
    log.warn(
      { event: 'queue.leftover', instance, jobs },
      `${jobs} jobs lie on the queue of ${instance}, which is not in the file: they go to who serves their groups now, or fail`,
    );
  }

  async function forget(instance: string): Promise<void> {
    absent.delete(instance);
    await redis.hdel(keys.buckets, instance);
    await redis.zrem(keys.instances, instance);
  }

  return { instanceOwner, announce, look };
}

/** Versions that did not remember instances left their names in other places. */
async function recallAll({ redis, keys, store }: LeftoversDependencies, nowMs: number): Promise<void> {
  const names = new Set(await redis.hkeys(keys.buckets));
  if ((await redis.exists(keys.instances)) === 0) {
    for (const known of (await store.registrations()).values()) {
      if (known !== null) names.add(known.entry.instance);
    }
  }
  if (names.size > 0) await redis.zadd(keys.instances, 'NX', ...[...names].flatMap((name) => [nowMs, name]));
}

/** Whether a one-off on this queue is for a group that one of our instances serves. */
async function hasOurs(
  { store }: LeftoversDependencies,
  mine: ReadonlySet<string>,
  queue: Queue,
  instance: string,
): Promise<boolean> {
  // An active one may be a dead worker's: only a worker of its queue finds that out.
  const jobs = await queue.getJobs(['wait', 'delayed', 'active'], 0, headSize - 1, true);
  const names = new Set<string>();
  for (const job of jobs) {
    const parsed = job?.name === requestJob ? parseRequest(job.data) : null;
    if (parsed?.ok === true) names.add(parsed.request.group);
  }
  for (const name of names) {
    const found = await findGroup(store, name);
    if (found?.registered && found.entry.instance !== instance && mine.has(found.entry.instance)) return true;
  }
  return false;
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}
