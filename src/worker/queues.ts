/** The instances' queues and workers, brought in line with the configuration in force. */
import type { Job, Queue } from 'bullmq';
import { openQueues } from '../bullmq/queues.ts';
import type { InstanceConfig } from '../config/config.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import type { RedisClock } from '../redis/clock.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { createInstanceWorker, type InstanceWorker, type JobLock } from './instance.ts';

export interface Instances {
  /** An instance's queue, also before its worker runs and after it was stopped. */
  queueOf(name: string): Queue;
  /** Starts what is new, adjusts what stays, and stops what is gone, once its jobs in flight have ended. */
  reconcile(wanted: readonly InstanceConfig[]): Promise<void>;
  /** Works off the queues of these instances as well, which are not wanted, until they are named no more. */
  serveLeftovers(names: readonly string[]): Promise<void>;
  /**
   * Closes an instance's worker, which takes no jobs though it should, and recreates it. false: nothing was done,
   * because there is none, or jobs of it are run.
   */
  recreate(name: string): boolean;
  /** Jobs that this process runs now. */
  jobsInHand(): number;
  close(): Promise<void>;
}

export interface InstancesOptions {
  readonly connection: RedisClient;
  readonly prefix: string;
  readonly clock: RedisClock;
  readonly process: (instance: string, queue: Queue, job: Job, lock: JobLock) => Promise<unknown>;
  readonly onError: (instance: string, error: Error) => void;
}

/** Jobs of one leftover queue at the same time: what is wanted goes first. */
const leftoverConcurrency = 2;

export function createInstances({ connection, prefix, clock, process, onError }: InstancesOptions): Instances {
  const queues = openQueues({ redis: connection, prefix, clock, queueName: rotationsQueue, onError });
  const { queueOf } = queues;
  const workers = new Map<string, InstanceWorker>();
  /** All workers, those that are being closed included. */
  const open = new Set<InstanceWorker>();
  const leftoverWorkers = new Map<string, InstanceWorker>();

  function start(name: string, concurrency: number): InstanceWorker {
    const queue = queueOf(name);
    const running = createInstanceWorker({
      queue,
      concurrency,
      connection,
      prefix,
      clock,
      process: (job, lock) => process(name, queue, job, lock),
      onError: (error) => onError(name, error),
    });
    open.add(running);
    return running;
  }

  async function stop(running: Map<string, InstanceWorker>, isGone: (name: string) => boolean): Promise<void> {
    const gone = [...running].filter(([name]) => isGone(name));
    for (const [name] of gone) running.delete(name);
    await Promise.all(
      gone.map(async ([, one]) => {
        await one.worker.close();
        open.delete(one);
      }),
    );
  }

  return {
    queueOf,
    async reconcile(wanted) {
      for (const { name, concurrency } of wanted) {
        const running = workers.get(name);
        if (running === undefined) workers.set(name, start(name, concurrency));
        else running.worker.concurrency = concurrency;
      }
      const names = new Set(wanted.map(({ name }) => name));
      await stop(workers, (name) => !names.has(name));
    },
    async serveLeftovers(names) {
      for (const name of names) {
        if (!leftoverWorkers.has(name)) leftoverWorkers.set(name, start(name, leftoverConcurrency));
      }
      await stop(leftoverWorkers, (name) => !names.includes(name));
    },
    recreate(name) {
      const hung = workers.get(name);
      if (hung === undefined || hung.jobsInHand() > 0) return false;
      workers.set(name, start(name, hung.worker.concurrency));
      // Whatever it waits for may never come.
      open.delete(hung);
      hung.worker.close(true).catch((error: Error) => onError(name, error));
      return true;
    },
    jobsInHand: () => [...open].reduce((sum, one) => sum + one.jobsInHand(), 0),
    async close() {
      await Promise.all([workers, leftoverWorkers].map((running) => stop(running, () => true)));
      await queues.close();
    },
  };
}
