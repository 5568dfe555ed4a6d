/** Reports errors that come again and again, and those of the connection, which its own client reports, in few lines. */
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';

const reportEveryMs = 60_000;
const maxKinds = 1_000;
/**
 * A job's lock ran out, as it does in every outage of Redis. It costs a run of the job that finds its work done: the record
 * decides, not the lock.
 */
const lockLost = /^(could not renew lock|Missing lock|Lock mismatch|Missing key for job)/;

/** Of BullMQ's queues and workers: each kind at most once a minute, however often it comes. */
export function createQueueErrors(log: Logger): (source: string, error: Error) => void {
  const reportedAt = new Map<string, number>();
  return (source, error) => {
    const nowMs = performance.now();
    // The same for every job: ids are left out.
    const kind = `${source} ${error.message.replace(/\d+|[0-9a-f-]{16,}/g, '')}`;
    const isRecent = nowMs - (reportedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < reportEveryMs;
    const isExpected = isConnectionError(error) || lockLost.test(error.message);
    if (!isRecent && !isExpected) reportedAt.set(kind, nowMs);
    const level = isRecent || isExpected ? 'debug' : 'error';
    log[level]({ event: 'queue.error', source, err: error }, `${source}: ${error.message}`);
    if (reportedAt.size > maxKinds) reportedAt.clear();
  };
}

/** For a task on a timer: the same error again and again is one line. */
export function reporter(log: Logger, event: string, message: string): (error: unknown) => void {
  let last = '';
  return (error) => {
    const text = error instanceof Error ? error.message : String(error);
    const level = text === last || !(error instanceof Error) ? 'debug' : levelOf(error);
    last = text;
    log[level]({ event, err: error }, message);
  };
}

/** Trouble with the connection is reported once, by the client itself. */
export function levelOf(error: Error): 'debug' | 'error' {
  return isConnectionError(error) ? 'debug' : 'error';
}
