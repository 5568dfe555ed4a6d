/**
 * Keeps BullMQ's job scheduler of the planner going: one that is gone, or has gone silent, is set up again. A silent one
 * may look sound: its next job was removed, or lies in the future because the clock was set back.
 */
import type { Queue } from 'bullmq';
import { releasedRetention, tickRetention } from '../bullmq/options.ts';
import type { Logger } from '../log.ts';
import { tickMs } from '../planner/headroom.ts';
import type { Ticks } from './ticks.ts';

/** A tick this late means that the scheduler has gone silent. */
const lateTickMs = 3 * tickMs;
const schedulerId = 'plan';

export interface Scheduler {
  /** Sets the scheduler up, and has the planner tick at once. */
  setUp(): Promise<void>;
  /** Sets it up if it is gone or silent. `isPaused`: the planner's queue is, so no tick is awaited. */
  reconcile(isPaused: boolean): Promise<void>;
  /** Sets it up from scratch: one that is only updated keeps the time of its next job. */
  reset(): Promise<void>;
  /** Has the planner tick at once. */
  tickNow(): Promise<void>;
}

export function createScheduler(plans: Queue, ticks: Ticks, log: Logger): Scheduler {
  /** When it was last set up for having gone silent, or last seen to be paused. */
  let triedAt = Number.NEGATIVE_INFINITY;

  const tickNow = async () => {
    await plans.add('plan', {}, releasedRetention);
  };

  async function setUp(): Promise<void> {
    await plans.upsertJobScheduler(schedulerId, { every: tickMs }, { name: 'plan', opts: tickRetention });
    await tickNow();
  }

  async function reset(): Promise<void> {
    await plans.removeJobScheduler(schedulerId);
    await setUp();
  }

  return {
    setUp,
    reset,
    tickNow,
    async reconcile(isPaused) {
      const found = await plans.getJobScheduler(schedulerId);
      if (found?.every !== tickMs) {
        log.warn({ event: 'plan.unscheduled' }, "the planner's scheduler is gone: it is set up again");
        return await setUp();
      }
      // Once it is resumed, the planner has as long as after its scheduler was set up.
      if (isPaused) triedAt = performance.now();
      const lateMs = Math.round(ticks.silentMs());
      if (lateMs < lateTickMs || performance.now() - triedAt < lateTickMs) return;
      log.warn({ event: 'plan.late', lateMs }, 'the planner is late: its scheduler is set up again');
      triedAt = performance.now();
      await reset();
    },
  };
}
