/**
 * What must be so in Redis while this worker runs, compared with what is on a timer and put right: the registration of
 * the file in force, the planner's scheduler, and what a Redis that was emptied or whose clock was set back has lost.
 * A step that fails is repeated at the next look, and holds up none of the others.
 *
 * A paused queue is a person's decision: it is only reported.
 */
import type { Queue } from 'bullmq';
import { pausedQueues } from '../bullmq/counts.ts';
import type { Config } from '../config/config.ts';
import { plannerQueue, queuesOf } from '../contract/queueNames.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { tickMs } from '../planner/headroom.ts';
import { watchClock } from '../redis/clock.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import type { Setback } from '../rotation/rewound.ts';
import { watchDataset } from './dataset.ts';
import type { Registering } from './registering.ts';
import { type Repeated, repeat } from './repeat.ts';
import { rewind } from './rewind.ts';
import type { Scheduler } from './scheduler.ts';

export interface ReconcileDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly log: Logger;
  /** In force. */
  readonly config: () => Config;
  readonly registering: Registering;
  readonly scheduler: Scheduler;
  /** The queue of an instance. */
  readonly queueOf: (instance: string) => Queue;
  readonly resultsQueueOf: (name: string) => Queue;
  /** Reads Redis's clock again: BullMQ goes by what this process knows of it. */
  readonly followClock: () => Promise<void>;
  /** Told what one of these looks could not do. */
  readonly onError: (error: unknown) => void;
}

export interface Reconciling {
  /** Queues that somebody has paused. */
  readonly paused: readonly string[];
  stop(): Promise<void>;
}

/** A Redis that was emptied, and a clock that was set back, are noticed within this time. */
const noticeMs = 1_000;
/** After a clock was set back, one-offs stamped by it are not believed for as long as this, at most. */
const doubtMs = 24 * 3_600_000;

export async function startReconciling(deps: ReconcileDependencies): Promise<Reconciling> {
  const { redis, keys, log, config, registering, scheduler, onError } = deps;
  const dataset = watchDataset(redis, keys);
  const clocks = { redis: watchClock(() => redisTime(redis, keys)), machine: watchClock(() => Date.now()) };
  let paused: readonly string[] = [];
  /** A clock was set back, and what that holds up is not put right yet. */
  let setBack: Setback | null = null;
  /** Redis was emptied, and has not got everything back. */
  let isEmptied = false;

  async function notice(): Promise<void> {
    if (await dataset.isOther()) {
      log.error(
        { event: 'redis.emptied' },
        'Redis has lost everything that it held: groups are registered again and their links read again; schedules start again',
      );
      isEmptied = true;
    }
    if (isEmptied) await restore();
    await noticeClocks();
  }

  /** Registration first: the planner finds what it is to read. */
  async function restore(): Promise<void> {
    await registering.register(config());
    await scheduler.setUp();
    isEmptied = false;
  }

  async function noticeClocks(): Promise<void> {
    const [ofRedis, ofMachine] = [await clocks.redis.read(), await clocks.machine.read()];
    const backMs = Math.max(ofRedis.backMs, ofMachine.backMs);
    if (backMs > 0) {
      const whose = ofRedis.backMs > 0 ? "Redis's clock" : "this machine's clock";
      log.warn({ event: 'clock.back', backMs }, `${whose} was set back by ${Math.round(backMs / 1000)} s`);
      const { nowMs } = ofRedis;
      const beforeMs = Math.max(nowMs + ofRedis.backMs, setBack?.beforeMs ?? 0);
      setBack = { nowMs, beforeMs };
    }
    if (setBack === null) return;
    await catchUp(setBack);
    setBack = null;
  }

  /** Whatever waits for a time of day would wait for as long again as the clock was set back. */
  async function catchUp({ nowMs, beforeMs }: Setback): Promise<void> {
    await deps.followClock();
    if (beforeMs > nowMs) {
      // Stamps up to here may have been made before the clock was set back, or after that.
      await redis.set(keys.clockDoubt, beforeMs + noticeMs, 'PX', doubtMs);
      await rewind({ redis, keys, store: deps.store, config: config() }, { nowMs, beforeMs });
    }
    // Of instances that are gone too: jobs may lie on their queues.
    const instances = new Set([
      ...config().instances.map(({ name }) => name),
      ...(await redis.zrange(keys.instances, '0', '-1')),
    ]);
    for (const name of instances) {
      await deps.queueOf(name).promoteJobs();
      await deps.queueOf(name).removeRateLimitKey();
    }
    for (const name of config().results.queues) await deps.resultsQueueOf(name).promoteJobs();
    await scheduler.reset();
  }

  async function lookAtPauses(): Promise<void> {
    const now = await pausedQueues(redis, config().redis.prefix, queuesOf(config()));
    for (const queue of now.filter((one) => !paused.includes(one))) {
      log.warn({ event: 'queue.paused', queue }, `${queue} is paused: its jobs wait until somebody resumes it`);
    }
    for (const queue of paused.filter((one) => !now.includes(one))) {
      log.info({ event: 'queue.resumed', queue }, `${queue} is resumed`);
    }
    paused = now;
  }

  const steps = [
    lookAtPauses,
    () => registering.reconcile(config()),
    () => scheduler.reconcile(paused.includes(plannerQueue)),
  ];

  async function reconcile(): Promise<void> {
    for (const step of steps) await step().catch(onError);
  }

  // What happens from here on is noticed.
  await notice();
  const timers: Repeated[] = [repeat(noticeMs, notice, onError), repeat(tickMs, reconcile, onError)];
  return {
    get paused() {
      return paused;
    },
    async stop() {
      for (const timer of timers) await timer.stop();
    },
  };
}
