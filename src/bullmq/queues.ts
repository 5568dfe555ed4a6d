/** Opens BullMQ's queues and workers. Every queue of this program is opened here. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BulkJobOptions,
  createRedisBackend,
  type Job,
  type JobJson,
  type JobsOptions,
  type Processor,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { RedisClock } from '../redis/clock.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { type Attributes, tracing } from '../tracing/spans.ts';
import { lockOptions } from './options.ts';
import { readsEveryJob, takenJob } from './readableJobs.ts';
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
    ...telemetryOption(),
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
  const options = { connection: redis, ...lockOptions, ...settings, ...telemetryOption() };
  return new CalmWorker(name, process, options, backendOf(clock));
}

function telemetryOption() {
  const telemetry = tracing()?.telemetry;
  return telemetry === undefined ? {} : { telemetry };
}

export interface TracedJob {
  readonly name: string;
  readonly data: unknown;
  readonly opts: BulkJobOptions;
  /** What its trace is about. */
  readonly about: Attributes;
  /** The trace that it continues, as it was stored. Null: it starts one. */
  readonly context: string | null;
}

/** Adds jobs together. Each has a span of its own. */
export async function addTraced(queue: Queue, operation: string, jobs: readonly TracedJob[]): Promise<void> {
  const traces = tracing();
  const spans = jobs.map(({ about, context }) => traces?.produce(queue.name, operation, context, about));
  let failure: unknown;
  try {
    await queue.addBulk(
      jobs.map(({ name, data, opts }, i) => {
        const metadata = spans[i]?.context;
        return { name, data, opts: metadata === undefined ? opts : { ...opts, telemetry: { metadata } } };
      }),
    );
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    for (const span of spans) span?.end(failure);
  }
}

function backendOf(clock: RedisClock | undefined) {
  return readsEveryJob(clock === undefined ? createRedisBackend : onRedisTime(clock));
}

const retryMs = 1_000;

/** BullMQ's worker asks again at once when Redis answers with an error. This one waits a second. */
class CalmWorker extends Worker {
  protected override createJob(data: JobJson, jobId: string): Job {
    return takenJob(this, data, jobId);
  }

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
