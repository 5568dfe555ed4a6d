/** Opens BullMQ's queues and workers. Every queue of this program is opened here. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createRedisBackend,
  type Job,
  type JobsOptions,
  type Processor,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { RedisClock } from '../redis/clock.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { lockOptions } from './options.ts';
import { onRedisTime } from './redisTime.ts';

export interface OpenOptions {
  /** Shared with others, so it stays open. Workers duplicate it for their blocking reads. */
  readonly redis: RedisClient;
  readonly prefix: string;
  /** Times in jobs and schedulers are this clock's. Default: this machine's. */
  readonly clock?: RedisClock;
}

export interface QueueOptions extends OpenOptions {
  readonly jobOptions?: JobsOptions;
  /** Default: errors are ignored, since the call that fails reports them. */
  readonly onError?: (error: Error) => void;
}

/** Sends no command when it opens the queue: BullMQ never recovers a queue whose first command is refused. */
export function openQueue(name: string, { redis, prefix, clock, jobOptions, onError }: QueueOptions): Queue {
  const options = {
    ...{ connection: redis, prefix, defaultJobOptions: jobOptions },
    ...{ skipWaitingForReady: true, skipVersionCheck: true, skipMetasUpdate: true },
  };
  const queue = new Queue(name, options, backendOf(clock));
  queue.on('error', onError ?? (() => {}));
  // The library adds many jobs at once, and each call listens while it runs.
  return queue.setMaxListeners(0);
}

export interface QueuesOptions extends Omit<QueueOptions, 'onError'> {
  /** Default: the name itself. */
  readonly queueName?: (name: string) => string;
  readonly onError?: (name: string, error: Error) => void;
}

/** Opens each queue when it is first used. */
export function openQueues({ queueName, onError, ...options }: QueuesOptions) {
  const opened = new Map<string, Queue>();
  return {
    queueOf(name: string): Queue {
      let queue = opened.get(name);
      if (queue === undefined) {
        queue = openQueue(queueName?.(name) ?? name, { ...options, onError: (error) => onError?.(name, error) });
        opened.set(name, queue);
      }
      return queue;
    },
    async close(): Promise<void> {
      await Promise.all([...opened.values()].map((queue) => queue.close()));
    },
  };
}

type WorkerSettings = OpenOptions & Omit<WorkerOptions, 'connection' | 'prefix' | keyof typeof lockOptions>;

/** Opens a worker that holds its jobs as `lockOptions` say. */
export function openWorker(name: string, process: Processor, { redis, clock, ...settings }: WorkerSettings): Worker {
  const options = { connection: redis, ...lockOptions, ...settings };
  return new CalmWorker(name, process, options, backendOf(clock));
}

function backendOf(clock: RedisClock | undefined) {
  return clock === undefined ? createRedisBackend : onRedisTime(clock);
}

const retryMs = 1_000;

/** BullMQ's worker asks again at once when Redis answers with an error. This one waits a second. */
class CalmWorker extends Worker {
  protected override async moveToActive(token: string, name?: string): Promise<Job> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await sleep(retryMs);
      throw error;
    }
  }

  /** BullMQ passes no time after a failed wait for a job. */
  override async delay(ms?: number, abort?: Parameters<Worker['delay']>[1]): Promise<void> {
    await super.delay(ms ?? retryMs, abort);
  }
}
