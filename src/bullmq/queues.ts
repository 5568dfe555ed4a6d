/** A queue that asks Redis nothing when it is opened: one whose first question is refused never works again. */
import { Queue } from 'bullmq';
import type { RedisClient } from '../redis/scripts.ts';

/** Whoever uses it hears of errors by the call that fails. */
export function openQuietQueue(name: string, redis: RedisClient, prefix: string): Queue {
  const silent = { skipWaitingForReady: true, skipVersionCheck: true, skipMetasUpdate: true };
  const queue = new Queue(name, { connection: redis, prefix, ...silent });
  queue.on('error', () => {});
  return queue;
}
