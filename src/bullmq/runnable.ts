/** Whether a queue has a job that a worker should be taking now. */
import type { Queue } from 'bullmq';
import type { RedisClient } from '../redis/scripts.ts';
import { countJobs } from './counts.ts';

/** A delayed job is taken as late as this after its time: workers look that often at the least. */
const lateMs = 10_000;
/** BullMQ keeps a delayed job's time in its score, and the job's number in the lowest 12 bits. */
const scoreBits = 0x1000;

export interface RunnableOptions {
  /** By Redis's clock, as workers judge what is due. */
  readonly nowMs: number;
  /** The count at which a worker of this queue takes it for rate-limited. */
  readonly restAt: number;
}

export async function isRunnable(
  redis: RedisClient,
  queue: Queue,
  { nowMs, restAt }: RunnableOptions,
): Promise<boolean> {
  const { waiting, delayed } = await countJobs(queue);
  if (waiting === 0 && (delayed === 0 || !(await isOverdue(redis, queue, nowMs)))) return false;
  const [isPaused, restsForMs, isMaxed] = await Promise.all([
    queue.isPaused(),
    queue.getRateLimitTtl(restAt),
    queue.isMaxed(),
  ]);
  return !isPaused && restsForMs <= 0 && !isMaxed;
}

async function isOverdue(redis: RedisClient, queue: Queue, nowMs: number): Promise<boolean> {
  const latest = (nowMs - lateMs) * scoreBits;
  return (await redis.zcount(queue.toKey('delayed'), '-inf', latest)) > 0;
}
