/** The instances' queues and workers, brought in line with the configuration in force. */
import { type Job, Queue, type Worker } from 'bullmq';
import type { InstanceConfig } from '../config/config.ts';
import { rotationsQueue } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { createInstanceWorker, type Hold } from './instance.ts';

export interface Instances {
  /** An instance's queue, also before its worker runs and after it was stopped. */
  queueOf(name: string): Queue;
  /** Starts what is new, adjusts what stays, and stops what is gone, once its jobs in flight have ended. */
  bringInLine(wanted: readonly InstanceConfig[]): Promise<void>;
  close(): Promise<void>;
}

export interface InstancesOptions {
  readonly connection: RedisClient;
  readonly prefix: string;
  readonly process: (instance: string, queue: Queue, job: Job, hold: Hold) => Promise<unknown>;
  readonly onError: (instance: string, error: Error) => void;
}

export function createInstances({ connection, prefix, process, onError }: InstancesOptions): Instances {
  const queues = new Map<string, Queue>();
  const workers = new Map<string, Worker>();

  function queueOf(name: string): Queue {
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = new Queue(rotationsQueue(name), { connection, prefix });
      queue.on('error', (error) => onError(name, error));
      queues.set(name, queue);
    }
    return queue;
  }

  function start({ name, concurrency }: InstanceConfig): void {
    const queue = queueOf(name);
    const worker = createInstanceWorker({
      queue,
      concurrency,
      connection,
      prefix,
      process: (job, hold) => process(name, queue, job, hold),
      onError: (error) => onError(name, error),
    });
    workers.set(name, worker);
  }

  return {
    queueOf,
    async bringInLine(wanted) {
      for (const instance of wanted) {
        const running = workers.get(instance.name);
        if (running === undefined) start(instance);
        else running.concurrency = instance.concurrency;
      }
      const names = new Set(wanted.map(({ name }) => name));
      const gone = [...workers].filter(([name]) => !names.has(name));
      for (const [name] of gone) workers.delete(name);
      await Promise.all(gone.map(([, worker]) => worker.close()));
    },
    async close() {
      await Promise.all([...workers.values()].map((worker) => worker.close()));
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}
