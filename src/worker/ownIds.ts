/**
 * Finds the one-offs of a group whose ids their producers chose, as flows and schedulers of jobs do. BullMQ's counter does
 * not say when such a job was pushed, but one that is on the queue before a reset starts is answered by that reset.
 */
import type { Job, Queue } from 'bullmq';
import { identityOf, parseNamed, requestJob } from '../contract/request.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { parseIdentifier } from '../ryze/identifier.ts';
import { runOf } from './complete.ts';

/** Jobs looked at in each list of a queue. */
const maxJobs = 100;
const counted = /^[1-9]\d{0,15}$/;
/** Ids of the planner's jobs end with a JID or a group's id. */
const planned = /^(?:scheduled\.\d+|(?:unsettled|opinion|owed|idle)(?:\.\d+)?)\.[a-z0-9@._-]+$/;

/** The number by which BullMQ has counted the job. Null: its producer chose the id, which may look like a number. */
export function numberOf({ id = '', opts }: Job): number | null {
  // BullMQ for Elixir writes `job_id`.
  const isChosen = Boolean(opts.jobId || ('job_id' in opts && opts.job_id));
  return counted.test(id) && !isChosen ? Number(id) : null;
}

/** Their identities. `group`, `recordId`: of the group. */
export async function oneOffsWithOwnIds(
  redis: RedisClient,
  queue: Queue,
  { group, recordId }: { readonly group: string; readonly recordId: string },
): Promise<string[]> {
  const lists = await Promise.all([
    redis.lrange(queue.toKey('wait'), 0, maxJobs - 1),
    redis.lrange(queue.toKey('active'), 0, maxJobs - 1),
    redis.zrange(queue.toKey('prioritized'), '0', String(maxJobs - 1)),
    redis.zrange(queue.toKey('delayed'), '0', String(maxJobs - 1)),
  ]);
  const ids = lists.flat().filter((id) => !planned.test(id));
  // Most ids that look like numbers are BullMQ's, so they come last.
  const first = [...ids.filter((id) => !counted.test(id)), ...ids.filter((id) => counted.test(id))];
  const jobs = await Promise.all(first.slice(0, maxJobs).map((id) => queue.getJob(id)));
  return jobs.flatMap((job) => {
    if (job?.name !== requestJob || numberOf(job) !== null || isToCome(job)) return [];
    const named = parseNamed(job.data)?.group ?? '';
    if (named !== group && named !== recordId && jidIn(named) !== recordId) return [];
    const { id: jobId, timestamp } = job;
    return [identityOf({ queue: queue.name, jobId, timestamp, run: runOf(job) })];
  });
}

/** The next job of a scheduler: BullMQ adds it when the one before starts, and its request is made when its time comes. */
function isToCome({ repeatJobKey, delay, attemptsStarted }: Job): boolean {
  return repeatJobKey !== undefined && delay > 0 && attemptsStarted === 0;
}

function jidIn(name: string): string | null {
  const identifier = parseIdentifier(name);
  return identifier?.kind === 'jid' ? identifier.jid : null;
}
