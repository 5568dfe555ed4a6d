/**
 * Takes events off a results queue until it is closed. BullMQ's worker ends if Redis refuses its first commands, and its
 * `close` waits for an unreachable Redis. This one is replaced when it ends, and closes within seconds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Worker } from 'bullmq';
import { openQueue, openWorker } from '../bullmq/queues.ts';
import { linkEvent } from '../contract/event.ts';
import { createRedisClock } from '../redis/clock.ts';
import type { Database } from '../redis/database.ts';
import { withoutCommand } from '../redis/errors.ts';
import type { RedisClient } from '../redis/scripts.ts';

export interface EventWorkerOptions {
  readonly queue: string;
  readonly concurrency: number;
  /** `lock`: BullMQ's token of the job's lock. */
  readonly take: (job: Job, lock: string) => Promise<void>;
  /** Resolves when no handler runs. Closing waits for it. Default: closing waits for none. */
  readonly idle?: () => Promise<void>;
  /** Reports each message at most once a minute. */
  readonly onError: (error: Error) => void;
}

const restartMs = 1_000;
const readClockEveryMs = 5_000;
/** Time for Redis to note how the last jobs ended. A job of which it does not is delivered again. */
const graceMs = 2_000;

export function startEventWorker({ redis, prefix, keys }: Database, options: EventWorkerOptions) {
  const { queue, concurrency, take, idle = () => Promise.resolve() } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const onError = onceAMinute(options.onError);
  const report = (error: unknown) => {
    if (!signal.aborted) onError(error);
  };
  const pause = () => sleep(restartMs, undefined, { signal }).catch(() => {});
  const clock = createRedisClock(redis, keys.lastHandled(queue));
  // The clock is this machine's until it has been read.
  const readClock = () => void clock.read().catch(() => {});
  const reading = setInterval(readClock, readClockEveryMs);
  readClock();

  function open(): Worker {
    const settings = { redis, prefix, clock, concurrency, autorun: false };
    const opened = openWorker(queue, (job, lock = '') => take(job, lock), settings);
    opened.on('error', report);
    opened.on('failed', (job, error) => report(new Error(`${job?.id ?? 'an event'}: ${error.message}`)));
    return opened;
  }

  let worker = open();
  async function run(): Promise<void> {
    while (!signal.aborted) {
      await worker.run().catch(report);
      await pause();
      if (signal.aborted) return;
      worker.close(true).catch(() => {});
      worker = open();
    }
  }
  run().catch(report);

  return {
    /** Resolves when events are being taken. */
    async ready(): Promise<void> {
      while (!signal.aborted) {
        if (await succeeds(worker.waitUntilReady())) return;
        await pause();
      }
    },
    async close(): Promise<void> {
      closing.abort();
      clearInterval(reading);
      if (!(await answers(redis))) {
        // Forced: otherwise BullMQ waits for a connection that does not exist, and its timers keep the process alive.
        await idle();
        return await worker.close(true).catch(() => {});
      }
      const closed = worker.close().catch(() => {});
      await Promise.race([closed, idle().then(() => sleep(graceMs, undefined, { ref: false }))]);
    },
  };
}

const answerMs = 1_000;

/** Asks Redis, because the connection's status may be outdated. */
async function answers(redis: RedisClient): Promise<boolean> {
  if (redis.status !== 'ready') return false;
  return await Promise.race([succeeds(redis.ping()), sleep(answerMs, false, { ref: false })]);
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  return await work.then(
    () => true,
    () => false,
  );
}

const minuteMs = 60_000;

/** Reports the same message once a minute, and without the command that failed. */
function onceAMinute(onError: (error: Error) => void): (error: unknown) => void {
  /** When each message was last reported. */
  const reportedAt = new Map<string, number>();
  return (error) => {
    const safe = withoutCommand(error);
    const now = performance.now();
    for (const [message, at] of reportedAt) if (now - at > minuteMs) reportedAt.delete(message);
    if (reportedAt.has(safe.message)) return;
    reportedAt.set(safe.message, now);
    onError(safe);
  };
}

const retryFailedEveryMs = 60_000;
const pageSize = 500;
/** The worker keeps no more failed events than this. */
const maxFailed = 10_000;

/**
 * Puts failed events back on their queue, now and every minute. Versions before 0.2 stopped retrying an event after ten
 * tries. Failed jobs that are not events stay failed.
 */
export function retryFailedEvents(db: Database, name: string): { stop(): void } {
  const queue = openQueue(name, db);
  let isRunning = false;

  async function retryAll(): Promise<void> {
    // Events that are put back leave the list, so the next page begins after those that stay.
    for (let stay = 0; stay < maxFailed; ) {
      const failed = await queue.getJobs(['failed'], stay, stay + pageSize - 1, true);
      const events = failed.filter((job) => linkEvent.safeParse(job?.data).success);
      const retried = await Promise.all(events.map((job) => succeeds(job.retry('failed'))));
      if (failed.length < pageSize) return;
      stay += failed.length - retried.filter(Boolean).length;
    }
  }

  async function retryUnlessRunning(): Promise<void> {
    if (isRunning) return;
    isRunning = true;
    // What Redis refuses now succeeds at the next run.
    await retryAll().catch(() => {});
    isRunning = false;
  }

  const timer = setInterval(() => void retryUnlessRunning(), retryFailedEveryMs);
  void retryUnlessRunning();
  return {
    stop() {
      clearInterval(timer);
      queue.close().catch(() => {});
    },
  };
}
