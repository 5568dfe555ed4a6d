/**
 * Finds the one-offs of a group whose ids their producers chose, as flows and schedulers of jobs do. BullMQ's counter does
 * not say when such a job was pushed, but one that is on the queue before a reset starts is answered by that reset.
 */
import type { Queue } from 'bullmq';
import { identityOf, parseNamed, requestJob } from '../contract/request.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { runOf } from './complete.ts';

/** Jobs looked at in each list of a queue. */
const maxJobs = 100;
/** BullMQ's own ids are numbers, and the planner's contain dots and a JID or a group's id. */
const chosen = /^(?![1-9]\d*$|(?:scheduled|unsettled|opinion|owed|idle)\.)/;

/** Their identities. `names`: of the group, as producers may name it. */
export async function oneOffsWithOwnIds(
  redis: RedisClient,
  queue: Queue,
  names: readonly (string | null)[],
): Promise<string[]> {
  const lists = await Promise.all([
    redis.lrange(queue.toKey('wait'), 0, maxJobs - 1),
    redis.lrange(queue.toKey('active'), 0, maxJobs - 1),
    redis.zrange(queue.toKey('prioritized'), '0', String(maxJobs - 1)),
    redis.zrange(queue.toKey('delayed'), '0', String(maxJobs - 1)),
  ]);
  const ids = lists.flat().filter((id) => chosen.test(id));
  const jobs = await Promise.all(ids.slice(0, maxJobs).map((id) => queue.getJob(id)));
  return jobs.flatMap((job) => {
    if (job?.name !== requestJob || !names.includes(parseNamed(job.data)?.group ?? null)) return [];
    const { id: jobId, timestamp } = job;
    return [identityOf({ queue: queue.name, jobId, timestamp, run: runOf(job) })];
  });
}
