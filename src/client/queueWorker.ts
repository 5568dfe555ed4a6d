/**
 * A BullMQ worker that takes events off a results queue until it is closed: one that cannot start because Redis refuses
 * its first commands is replaced, and closing waits for the handlers that run, and not for a Redis that is away.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Worker } from 'bullmq';
import { openWorker } from '../bullmq/queues.ts';
import { createRedisClock } from '../redis/clock.ts';
import { makeKeys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';

export interface QueueWorkerOptions {
  readonly queue: string;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly concurrency: number;
  readonly take: (job: Job, lock: string) => Promise<void>;
  /** Resolves when nothing runs that was begun for an event, whether or not Redis knows how it ended. */
  readonly idle: () => Promise<void>;
  readonly onError: (error: Error) => void;
}

export interface QueueWorker {
  /** Resolves when events are being taken. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

const restartMs = 1_000;
const readClockEveryMs = 5_000;
/** For Redis to take the ends of the last jobs. Those that it does not take come again. */
const graceMs = 2_000;

export function startQueueWorker(options: QueueWorkerOptions): QueueWorker {
  const { queue, redis, prefix, concurrency, take, idle, onError } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const clock = createRedisClock(redis, makeKeys(prefix).lastHandled(queue));
  // Until it could be read, this machine's is as good as any.
  const readClock = () => void clock.read().catch(() => {});
  const reading = setInterval(readClock, readClockEveryMs);
  readClock();
  function make(): Worker {
    const settings = { redis, prefix, clock, concurrency, autorun: false };
    const worker = openWorker(queue, (job, lock = '') => take(job, lock), settings);
    worker.on('error', report);
    worker.on('failed', (job, error) => report(new Error(`${job?.id ?? 'an event'}: ${error.message}`)));
    return worker;
  }
  function report(error: unknown): void {
    if (!signal.aborted) onError(error instanceof Error ? error : new Error(String(error)));
  }

  let worker = make();
  const runs = (async () => {
    while (!signal.aborted) {
      await worker.run().catch(report);
      if (signal.aborted) return;
      await sleep(restartMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      worker.close(true).catch(() => {});
      worker = make();
    }
  })();
  runs.catch(report);

  return {
    async ready() {
      for (;;) {
        const isReady = await worker.waitUntilReady().then(
          () => true,
          () => false,
        );
        if (isReady || signal.aborted) return;
        await sleep(restartMs, undefined, { signal }).catch(() => {});
      }
    },
    async close() {
      closing.abort();
      clearInterval(reading);
      // By force where Redis is away: BullMQ waits for a connection to end that has none, and its timers go on.
      if (!(await answers(redis))) {
        await idle();
        return await worker.close(true).catch(() => {});
      }
      const closed = worker.close().catch(() => {});
      await Promise.race([closed, idle().then(() => sleep(graceMs, undefined, { ref: false }))]);
    },
  };
}

const answerMs = 1_000;

/** Its status alone may be that of a moment ago. */
async function answers(redis: RedisClient): Promise<boolean> {
  if (redis.status !== 'ready') return false;
  const asked = redis.ping().then(
    () => true,
    () => false,
  );
  return await Promise.race([asked, sleep(answerMs, false, { ref: false })]);
}
