/**
 * A BullMQ worker with a watchdog. BullMQ's workers have stopped taking jobs after an outage of Redis, so one that takes
 * none for a while, although nothing keeps its jobs from being taken, is closed and opened again.
 */
import type { Job, Queue, Worker } from 'bullmq';
import { limiter, requestRetention } from '../bullmq/options.ts';
import { type OpenOptions, openWorker } from '../bullmq/queues.ts';

/** The lock of a job that is being processed. */
export interface JobLock {
  /** By which BullMQ knows the lock. */
  readonly token: string;
  /** Resolves when this worker has finished every job that it took after this one. */
  readonly laterJobsDone: () => Promise<void>;
}

export interface WatchedWorkerOptions extends OpenOptions {
  readonly queue: Queue;
  readonly concurrency: number;
  readonly process: (job: Job, lock: JobLock) => Promise<unknown>;
  readonly onError: (error: Error) => void;
  /** Called when the watchdog opens the worker again; only once until it takes a job. */
  readonly onRecreated: () => void;
}

export type WatchedWorker = ReturnType<typeof openWatchedWorker>;

const stuckMs = 60_000;
/** After this time without a job the worker is opened again, and once more after each further such time. */
const hungMs = 30_000;
/** A queue whose rate limit was lifted early is noticed after at most this time. */
const maximumRateLimitDelay = 5_000;

export function openWatchedWorker(options: WatchedWorkerOptions) {
  const { queue, concurrency: initial, process, onError, onRecreated, ...connection } = options;
  const running = new Set<Promise<void>>();
  /** Since when jobs have waited without one being taken, by the steady clock; null: none waits. */
  let waitingSince: number | null = null;
  let recreatedAt: number | null = null;
  let isStuck = false;
  let worker = open(initial);

  function open(concurrency: number): Worker {
    const settings = { concurrency, limiter, maximumRateLimitDelay, skipStalledCheck: true, ...requestRetention };
    const opened = openWorker(queue.name, take, { ...connection, ...settings });
    opened.on('error', onError);
    return opened;
  }

  async function take(job: Job, token = ''): Promise<unknown> {
    if (waitingSince !== null) waitingSince = performance.now();
    recreatedAt = null;
    let done = () => {};
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    running.add(mine);
    const laterJobsDone = async () => {
      const all = [...running];
      await Promise.all(all.slice(all.indexOf(mine) + 1));
    };
    try {
      return await process(job, { token, laterJobsDone });
    } finally {
      running.delete(mine);
      done();
    }
  }

  function recreate(): void {
    if (recreatedAt === null) onRecreated();
    recreatedAt = performance.now();
    const hung = worker;
    worker = open(hung.concurrency);
    // Not awaited: a hung worker may never close.
    hung.close(true).catch(onError);
  }

  return {
    queue,
    setConcurrency(concurrency: number): void {
      worker.concurrency = concurrency;
    },
    jobsRunning: () => running.size,
    /** Takes back the jobs of dead workers. Must be called every `stalledInterval` while the queue has active jobs. */
    recoverStalled: async () => void (await worker.getBackend().moveStalledJobsToWait()),
    /**
     * Must be called regularly. `isWaiting`: a job waits that this worker should be taking. `isOutage`: Redis is down,
     * so no worker can take any, and the time does not count.
     */
    watch(isWaiting: boolean, isOutage: boolean): void {
      if (!isWaiting) recreatedAt = null;
      if (!isWaiting || isOutage) waitingSince = null;
      if (isWaiting) waitingSince ??= performance.now();
      const waitingMs = waitingSince === null ? 0 : performance.now() - waitingSince;
      isStuck = waitingMs > stuckMs;
      const recreatedMs = recreatedAt === null ? Number.POSITIVE_INFINITY : performance.now() - recreatedAt;
      // The jobs may have been counted before the worker was closed.
      const isOpen = worker.closing === undefined;
      if (isOpen && Math.min(waitingMs, recreatedMs) >= hungMs && running.size === 0) recreate();
    },
    /** At the last watch, jobs had waited for a minute without one being taken. */
    isStuck: () => isStuck,
    /** Resolves when the running jobs have ended. */
    close: () => worker.close(),
  };
}
