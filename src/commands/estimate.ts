/** How long one-offs will take, before they are pushed: by the limit of each token, and by what is queued already. */
import { capacityOfBucket } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import { countJobs, queueKeys } from '../bullmq/counts.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { groupBy } from '../groupBy.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { span } from '../status/format.ts';

/** The requests for one instance. */
interface Share {
  readonly instance: InstanceConfig;
  /** Of its token. */
  readonly bucket: string | null;
  readonly requests: number;
  /** Jobs on its queue. */
  readonly ahead: number;
  /** Until its pause is over. 0: not paused. */
  readonly pausedMs: number;
}

/** A call with its share of the waiting between calls. */
const callMs = 600;
const stepMs = 5_000;

/** In milliseconds. `instances`: one for each request. Null if the file does not say how fast one of them may be. */
export async function estimate(
  db: Database,
  instances: readonly string[],
  config: Config | null,
): Promise<number | null> {
  const nowMs = await redisTime(db);
  const shares = await Promise.all(
    [...countOf(instances)].map(async ([name, requests]): Promise<Share | null> => {
      const instance = config?.instances.find((one) => one.name === name);
      if (instance === undefined) return null;
      const [bucket, gate, jobs] = await Promise.all([
        db.redis.hget(db.keys.buckets, name),
        readGate(db, name, nowMs),
        countJobs(db.redis, queueKeys(db, rotationsQueue(name))),
      ]);
      const ahead = jobs.waiting + jobs.active + jobs.delayed;
      return { instance, bucket, requests, ahead, pausedMs: gate?.opensInMs ?? 0 };
    }),
  );
  const known = shares.filter((share) => share !== null);
  if (known.length < shares.length) return null;
  const times = await Promise.all(byToken(known).map((sharing) => timeOf(db, sharing)));
  return Math.max(...times, 0);
}

async function timeOf(db: Database, sharing: readonly Share[]): Promise<number> {
  const [first] = sharing;
  if (first === undefined) return 0;
  const { instance, bucket } = first;
  const { max, perMs } = instance.rateLimit;
  const { limit, used } = bucket === null ? { limit: max, used: 0 } : await capacityOfBucket(db, bucket, instance, 0);
  const calls = sharing.reduce((sum, { requests, ahead }) => sum + requests + ahead, 0);
  const periods = Math.ceil(Math.max(calls - Math.max(limit - used, 0), 0) / Math.max(limit, 1));
  const lastCalls = periods === 0 ? calls : calls % limit || limit;
  const pausedMs = Math.max(...sharing.map((share) => share.pausedMs));
  return pausedMs + periods * perMs + (lastCalls * callMs) / instance.concurrency;
}

/** Instances with one token share its limit. */
function byToken(shares: readonly Share[]): Share[][] {
  return [...groupBy(shares, ({ bucket, instance }) => bucket ?? JSON.stringify(instance.token)).values()];
}

/** How often each name occurs. */
export function countOf(names: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** `about 2m 10s`. */
export function timeText(ms: number | null): string {
  if (ms === null) return 'as long as the rate limit needs';
  return ms <= stepMs ? 'a few seconds' : `about ${span(Math.ceil(ms / stepMs) * stepMs)}`;
}
