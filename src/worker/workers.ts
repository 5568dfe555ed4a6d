/**
 * The BullMQ workers of this process: one for each instance of the file in force, one for each leftover queue that it
 * serves, and the planner's. A slow instance does not delay the others.
 */
import type { Job, Queue } from 'bullmq';
import { readGate } from '../budget/gate.ts';
import { isRunnable, readQueues } from '../bullmq/counts.ts';
import type { InstanceConfig } from '../config/config.ts';
import { plannerQueue } from '../contract/queueNames.ts';
import { redisTime } from '../redis/database.ts';
import type { Base } from './base.ts';
import { type JobLock, openWatchedWorker, type WatchedWorker } from './watchedWorker.ts';

export interface WorkerTasks {
  readonly processJob: (instance: string, queue: Queue, job: Job, lock: JobLock) => Promise<unknown>;
  readonly plan: () => Promise<void>;
}

export type Workers = ReturnType<typeof createWorkers>;

/** Few jobs of a leftover queue run at a time, because the instances of the file in force take precedence. */
const leftoverConcurrency = 2;
/** A look at the queues that takes longer than this means that Redis does not answer. */
const slowMs = 10_000;

export function createWorkers(base: Base, { processJob, plan }: WorkerTasks) {
  const { redis, prefix, clocks, log, queueOf, plans, onQueueError } = base;
  const connection = { redis, prefix, clock: clocks };
  const workers = new Map<string, WatchedWorker>();
  /** Includes workers that are being closed. */
  const open = new Set<WatchedWorker>();
  let planner: WatchedWorker | null = null;
  let served: ReadonlyMap<string, number> = new Map();
  let leftovers: readonly string[] = [];

  function openInstance(instance: string, concurrency: number): WatchedWorker {
    const queue = queueOf(instance);
    const worker = openWatchedWorker({
      ...{ ...connection, queue, concurrency },
      process: (job, lock) => processJob(instance, queue, job, lock),
      onError: (error) => onQueueError(instance, error),
      onRecreated: () =>
        log.warn(
          { event: 'worker.recreated', instance },
          `${instance}: jobs are waiting for no known reason; recreating their worker`,
        ),
    });
    open.add(worker);
    return worker;
  }

  function openPlanner(): WatchedWorker {
    return openWatchedWorker({
      ...{ ...connection, queue: plans, concurrency: 1, process: plan },
      onError: (error) => onQueueError(plannerQueue, error),
      onRecreated: () =>
        log.warn({ event: 'worker.recreated', queue: plannerQueue }, "the planner's worker hangs: it is created again"),
    });
  }

  function reconcile(): void {
    const wanted = new Map([...leftovers.map((name) => [name, leftoverConcurrency] as const), ...served]);
    const isTakeover = [...wanted.keys()].some((name) => !workers.has(name));
    for (const [name, concurrency] of wanted) {
      const worker = workers.get(name) ?? openInstance(name, concurrency);
      worker.setConcurrency(concurrency);
      workers.set(name, worker);
    }
    // A job is taken back at the second look that finds its lock expired, so the first must not wait.
    if (isTakeover) void recoverStalled().catch((error: Error) => onQueueError('stalled', error));
    for (const [name, worker] of workers) if (!wanted.has(name)) close(name, worker);
  }

  /** Not awaited: its jobs end by themselves, and BullMQ's workers have hung while closing. */
  function close(name: string, worker: WatchedWorker): void {
    workers.delete(name);
    worker.close().then(
      () => open.delete(worker),
      (error: Error) => onQueueError(name, error),
    );
  }

  /** With the planner's, whose instance is null. */
  function all(): { instance: string | null; worker: WatchedWorker }[] {
    const own = [...workers].map(([instance, worker]) => ({ instance, worker }));
    return planner === null ? own : [...own, { instance: null, worker: planner }];
  }

  const readStates = (watched: readonly { worker: WatchedWorker }[]) =>
    readQueues(
      redis,
      prefix,
      watched.map(({ worker }) => worker.queue.name),
    );

  async function recoverStalled(): Promise<void> {
    const watched = all();
    const states = await readStates(watched);
    const active = watched.filter(({ worker }) => (states.get(worker.queue.name)?.active ?? 0) > 0);
    await Promise.all(active.map(({ worker }) => worker.recoverStalled()));
  }

  /** Whether a job waits although its queue is neither paused nor rate-limited and its instance's gate is open. */
  async function isWaiting(queue: Queue, instance: string | null): Promise<boolean> {
    const nowMs = await redisTime(base);
    if (!(await isRunnable(redis, queue, nowMs))) return false;
    return instance === null || (await readGate(base, instance, nowMs)) === null;
  }

  return {
    /** Serves these instances. Jobs of other instances that run already end by themselves. */
    serve(instances: readonly InstanceConfig[]): void {
      served = new Map(instances.map(({ name, concurrency }) => [name, concurrency]));
      reconcile();
    },
    /** Serves these queues as well, whose instances the file in force lacks. */
    serveLeftovers(instances: readonly string[]): void {
      leftovers = instances;
      reconcile();
    },
    startPlanner(): void {
      planner = openPlanner();
    },
    /** Reopens workers that hang. `isOutage`: Redis cannot be used now. */
    async watch(isOutage: () => boolean): Promise<void> {
      const startedAt = performance.now();
      const watched = all();
      const states = await readStates(watched);
      const waiting = await Promise.all(
        watched.map(({ instance, worker: { queue } }) => states.has(queue.name) && isWaiting(queue, instance)),
      );
      const isDown = isOutage() || performance.now() - startedAt > slowMs;
      for (const [i, { worker }] of watched.entries()) worker.watch(waiting[i] === true, isDown);
    },
    /** Takes back the jobs of dead workers. Must be called every `stalledInterval`. */
    recoverStalled,
    /** Whether this process serves the instance, which is in the file in force. */
    serves: (instance: string) => served.has(instance),
    /** Instances of the file in force whose jobs have waited for a minute without one being taken. */
    stuck: () => [...served.keys()].filter((instance) => workers.get(instance)?.isStuck()),
    /** Rotation jobs that this process runs now. */
    jobsRunning: () => [...open].reduce((sum, worker) => sum + worker.jobsRunning(), 0),
    /** Resolves when the running jobs have ended. */
    async close(): Promise<void> {
      workers.clear();
      await Promise.all([planner?.close(), ...[...open].map((worker) => worker.close())]);
    },
  };
}
