/** Which BullMQ queues somebody has paused, with a dashboard's button say. Whoever paused a queue resumes it. */
import type { Config } from '../config/config.ts';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import type { RedisClient } from '../redis/scripts.ts';

/** Those that this file's worker reads from or writes to: the planner's, the instances', then the results queues. */
export async function pausedQueues(
  redis: RedisClient,
  { redis: { prefix }, instances, results }: Pick<Config, 'redis' | 'instances' | 'results'>,
): Promise<string[]> {
  const queues = [plannerQueue, ...instances.map(({ name }) => rotationsQueue(name)), ...results.queues];
  const paused = await Promise.all(queues.map((queue) => isPaused(redis, prefix, queue)));
  return queues.filter((_, i) => paused[i]);
}

export async function isPaused(redis: RedisClient, prefix: string, queue: string): Promise<boolean> {
  return (await redis.hexists(`${prefix}:${queue}:meta`, 'paused')) === 1;
}
