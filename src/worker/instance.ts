/** The worker that empties one instance's queue: a slow or refused number holds up nobody else. */
import type { Job, Queue, Worker } from 'bullmq';
import { limiter, requestRetention } from '../bullmq/options.ts';
import { openWorker } from '../bullmq/queues.ts';
import type { RedisClock } from '../redis/clock.ts';
import type { RedisClient } from '../redis/scripts.ts';

/** How a job is held that is being worked on. */
export interface JobLock {
  /** BullMQ's token of the job's lock. */
  readonly token: string;
  /** Resolves when this worker is done with every job that it took after this one. */
  readonly laterJobsDone: () => Promise<void>;
}

export interface InstanceWorkerOptions {
  readonly queue: Queue;
  /** Jobs of this instance that this process works on at the same time; may be changed on the worker. */
  readonly concurrency: number;
  readonly connection: RedisClient;
  readonly prefix: string;
  readonly clock: RedisClock;
  readonly process: (job: Job, lock: JobLock) => Promise<unknown>;
  readonly onError: (error: Error) => void;
}

/** A queue that was reopened early is noticed after this time at the latest. */
const maximumRateLimitDelay = 5_000;

export interface InstanceWorker {
  readonly worker: Worker;
  /** Jobs that are run now. */
  jobsInHand(): number;
}

export function createInstanceWorker(options: InstanceWorkerOptions): InstanceWorker {
  const { queue, concurrency, connection, prefix, clock, process, onError } = options;
  const inHand = new Set<Promise<unknown>>();
  const take = async (job: Job, token = ''): Promise<unknown> => {
    let done = () => {};
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    inHand.add(mine);
    const laterJobsDone = async () => {
      const all = [...inHand];
      await Promise.all(all.slice(all.indexOf(mine) + 1));
    };
    try {
      return await process(job, { token, laterJobsDone });
    } finally {
      inHand.delete(mine);
      done();
    }
  };
  const worker = openWorker(queue.name, take, {
    ...{ redis: connection, prefix, clock, concurrency },
    ...{ limiter, maximumRateLimitDelay, ...requestRetention },
  });
  worker.on('error', onError);
  return { worker, jobsInHand: () => inHand.size };
}
