/**
 * Compares what Redis holds with what it should hold while this worker runs, on a timer, and corrects it: the
 * registration of the file in force, the planner's scheduler, the index of links, and what was lost when Redis was
 * emptied or a clock was set back. A step that fails is repeated at the next look and delays no other step.
 *
 * A paused queue is a person's decision: it is only reported.
 */
import { randomUUID } from 'node:crypto';
import { pausedQueues } from '../bullmq/counts.ts';
import { plannerQueue, queuesOf } from '../contract/queueNames.ts';
import { indexLinks } from '../groups/history.ts';
import { recount, recountEveryMs } from '../groups/recount.ts';
import { tickMs } from '../planner/headroom.ts';
import type { Setback } from '../rotation/rewound.ts';
import type { Base } from './base.ts';
import type { GroupRegistration } from './registerGroups.ts';
import { repairSetback } from './setback.ts';
import { type Repeated, repeat, reporter } from './tasks.ts';
import type { Scheduler } from './ticks.ts';

/** An emptied Redis and a clock that was set back are noticed within this time. */
const noticeMs = 1_000;

export function createReconciler(base: Base, registration: GroupRegistration, scheduler: Scheduler) {
  const { redis, keys, prefix, log, config, clocks } = base;
  const onError = reporter(log, 'reconcile.failed', 'cannot check the state of Redis; will retry');
  let dataset: string | null = null;
  /** Redis was emptied, and not everything has been restored yet. */
  let isEmptied = false;
  /** A clock was set back, and that is not repaired yet. */
  let setback: Setback | null = null;
  let paused: readonly string[] = [];
  let timers: readonly Repeated[] = [];
  const stopping = new AbortController();

  async function noticeLosses(): Promise<void> {
    await noticeEmptied();
    await noticeSetback();
  }

  /**
   * Each data set has a name: another one means that everything was lost, by `FLUSHALL` or a restart without the data.
   */
  async function noticeEmptied(): Promise<void> {
    let current = await redis.get(keys.dataset);
    if (current === null) {
      await redis.setnx(keys.dataset, randomUUID());
      current = await redis.get(keys.dataset);
    }
    const before = dataset;
    dataset = current;
    if (before !== null && current !== before) {
      isEmptied = true;
      log.error(
        { event: 'redis.emptied' },
        'Redis has lost all data: registering all groups and reading their links again; schedules start over',
      );
    }
    if (!isEmptied) return;
    // Registration first: the planner needs something to plan.
    await registration.register();
    await scheduler.setUp();
    isEmptied = false;
  }

  async function noticeSetback(): Promise<void> {
    const seen = await clocks.readSetback();
    if (seen !== null) setback = { ...seen, beforeMs: Math.max(seen.beforeMs, setback?.beforeMs ?? 0) };
    if (setback === null) return;
    await repairSetback(base, setback, noticeMs);
    await scheduler.reset();
    setback = null;
  }

  async function reportPaused(): Promise<void> {
    const before = paused;
    paused = await pausedQueues(redis, prefix, queuesOf(config()));
    for (const queue of paused.filter((one) => !before.includes(one))) {
      log.warn({ event: 'queue.paused', queue }, `${queue} is paused: its jobs wait until somebody resumes it`);
    }
    for (const queue of before.filter((one) => !paused.includes(one))) {
      log.info({ event: 'queue.resumed', queue }, `${queue} is resumed`);
    }
  }

  /** Mistakes are expected after an older version has written records. */
  async function recountStates(): Promise<void> {
    const entries = await recount(base, stopping.signal);
    if (entries === 0) return;
    log.info({ event: 'states.corrected', entries }, `the status counted ${entries} entries wrongly: corrected`);
  }

  const steps = [
    reportPaused,
    registration.reconcile,
    () => scheduler.reconcile(paused.includes(plannerQueue)),
    () => indexLinks(base, base.store),
  ];

  async function reconcile(): Promise<void> {
    for (const step of steps) await step().catch(onError);
  }

  return {
    /** Notes what Redis holds now, and compares from then on. */
    async start(): Promise<void> {
      await noticeLosses();
      if (stopping.signal.aborted) return;
      const recounting = repeat(recountEveryMs, recountStates, onError);
      timers = [repeat(noticeMs, noticeLosses, onError), repeat(tickMs, reconcile, onError), recounting];
      recounting.now();
    },
    /** Queues that somebody has paused. */
    paused: () => paused,
    async stop(): Promise<void> {
      stopping.abort();
      for (const timer of timers) await timer.stop();
    },
  };
}
