/** Reports errors of BullMQ's queues and workers: each kind at most once a minute, however often it comes. */
import type { Logger } from '../log.ts';
import { isOfConnection } from '../redis/trouble.ts';

const reportEveryMs = 60_000;
/**
 * A job's lock ran out, as it does in every outage of Redis. It costs a run of the job that finds its work done: the record
 * decides, not the lock.
 */
const lockLost = /^(could not renew lock|Missing lock|Lock mismatch|Missing key for job)/;

export function createQueueErrors(log: Logger): (source: string, error: Error) => void {
  const reportedAt = new Map<string, number>();
  return (source, error) => {
    const nowMs = performance.now();
    // The same for every job: ids are left out.
    const kind = `${source} ${error.message.replace(/\d+|[0-9a-f-]{16,}/g, '')}`;
    const isRecent = nowMs - (reportedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < reportEveryMs;
    const isExpected = isOfConnection(error) || lockLost.test(error.message);
    if (!isRecent && !isExpected) reportedAt.set(kind, nowMs);
    const level = isRecent || isExpected ? 'debug' : 'error';
    log[level]({ event: 'queue.error', source, err: error }, `${source}: ${error.message}`);
    if (reportedAt.size > maxKinds) reportedAt.clear();
  };
}

const maxKinds = 1_000;
