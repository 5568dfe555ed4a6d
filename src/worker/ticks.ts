/**
 * The planner's ticks: runs one in this process, watches for the last one in any process, and keeps BullMQ's job
 * scheduler, which triggers them. A scheduler that is missing or silent is set up again. A silent one may look intact:
 * its next job was removed, or is due in the future because the clock was set back.
 */
import type { Queue } from 'bullmq';
import { releasedRetention, tickRetention } from '../bullmq/options.ts';
import { formatNames } from '../config/problems.ts';
import { groupBy } from '../groupBy.ts';
import type { Logger } from '../log.ts';
import { tickMs } from '../planner/headroom.ts';
import { tick } from '../planner/planner.ts';
import { promoteWaiting } from '../planner/promote.ts';
import type { Base } from './base.ts';
import { waitsForSlot } from './complete.ts';
import type { GroupRegistration } from './registerGroups.ts';
import { reporter } from './tasks.ts';

/** A tick that cannot plan the work of some instances has done its work: that is logged, and delays no other instance. */
export function createTick(base: Base, registration: GroupRegistration, ticks: TickWatch): () => Promise<void> {
  const { api, log, config, tokens } = base;
  const reportFailure = reporter(log, 'plan.failed', 'cannot plan the work of these instances; will retry');

  async function run(): Promise<void> {
    const current = config();
    const failures: { readonly instances: readonly string[]; readonly error: unknown }[] = [];
    const onFailure = (instances: readonly string[], error: unknown) => void failures.push({ instances, error });
    const planner = { ...base, budget: api.budget, config: current, tokenOf: tokens.of, onFailure };
    const { unreadable, lost, ...counts } = await tick(planner);
    ticks.ticked();
    const called = await promoteWaiting(planner, waitsForSlot);
    log.debug({ event: 'plan.tick', ...counts, called }, 'planned');
    for (const alike of groupBy(failures, ({ error }) => String(error)).values()) {
      const names = new Set(alike.flatMap(({ instances }) => instances));
      reportFailure(alike[0]?.error, { instances: formatNames([...names], 10) });
    }
    const groupOf = (recordId: string) => current.groupsByJid.get(recordId)?.id ?? recordId;
    registration.reportUnreadable(unreadable.map(({ recordId, reason }) => ({ group: groupOf(recordId), reason })));
    if (lost.length > 0) await registration.registerLost(lost);
  }

  return async () => {
    try {
      await run();
    } catch (error) {
      log.error({ event: 'plan.failed', err: error }, 'a tick of the planner failed');
      throw error;
    }
  };
}

export type TickWatch = ReturnType<typeof watchTicks>;

/** Relies on changes of the note and on this process's steady clock, so setting a clock has no effect. */
export function watchTicks() {
  const startedAt = performance.now();
  let lastNote: string | null | undefined;
  let lastAt: number | null = null;
  const ageMs = () => (lastAt === null ? null : performance.now() - lastAt);
  return {
    /** `note`: the last tick's, as it is in Redis now; null: there is none. */
    saw(note: string | null): void {
      // The first note shows no change, and a note that disappeared was no tick.
      if (lastNote !== undefined && note !== null && note !== lastNote) lastAt = performance.now();
      lastNote = note;
    },
    /** This process finished a tick. */
    ticked(): void {
      lastAt = performance.now();
    },
    /** Time since the last tick; null: none was seen since this process started. */
    ageMs,
    /** Time since the last tick, or since this process started. */
    silentMs: () => ageMs() ?? performance.now() - startedAt,
  };
}

export type Scheduler = ReturnType<typeof createScheduler>;

/** Without a tick for this long, the scheduler is silent. */
const lateTickMs = 3 * tickMs;
const schedulerId = 'plan';

export function createScheduler(plans: Queue, ticks: TickWatch, log: Logger) {
  /** When it was last set up for being silent, or last seen paused. */
  let triedAt = Number.NEGATIVE_INFINITY;

  /** Triggers a tick at once. */
  async function tickNow(): Promise<void> {
    await plans.add('plan', {}, releasedRetention);
  }

  /** Sets the scheduler up, and triggers a tick at once. */
  async function setUp(): Promise<void> {
    await plans.upsertJobScheduler(schedulerId, { every: tickMs }, { name: 'plan', opts: tickRetention });
    await tickNow();
  }

  /** Sets it up from scratch: an update would keep the time of its next job. */
  async function reset(): Promise<void> {
    await plans.removeJobScheduler(schedulerId);
    await setUp();
  }

  return {
    setUp,
    reset,
    tickNow,
    /**
     * Sets it up again if it is missing or silent. `isPaused`: no tick is expected, because the planner's queue is
     * paused.
     */
    async reconcile(isPaused: boolean): Promise<void> {
      const scheduler = await plans.getJobScheduler(schedulerId);
      if (scheduler?.every !== tickMs) {
        log.warn({ event: 'plan.unscheduled' }, "the planner's scheduler is missing: it is set up again");
        return await setUp();
      }
      // A planner that is resumed has as much time as after a set-up.
      if (isPaused) triedAt = performance.now();
      const lateMs = Math.round(ticks.silentMs());
      if (lateMs < lateTickMs || performance.now() - triedAt < lateTickMs) return;
      log.warn({ event: 'plan.late', lateMs }, 'the planner is late: its scheduler is set up again');
      triedAt = performance.now();
      await reset();
    },
  };
}
