/**
 * The planner's ticks: what one does in this process, when the last one was in any process, and BullMQ's job scheduler that
 * triggers them. A scheduler that is missing or silent is set up again. A silent one may look intact: its next job was
 * removed, or is due in the future because the clock was set back.
 */
import type { Queue } from 'bullmq';
import { releasedRetention, tickRetention } from '../bullmq/options.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../log.ts';
import { promoteWaiting, tickMs } from '../planner/headroom.ts';
import { type PlannerDependencies, tick } from '../planner/planner.ts';
import { waitsForSlot } from './process.ts';
import type { GroupRegistration } from './registerGroups.ts';
import type { Tokens } from './tokens.ts';

export interface TickDependencies extends Omit<PlannerDependencies, 'config' | 'tokenOf'> {
  readonly log: Logger;
  readonly config: () => Config;
  readonly tokens: Tokens;
  readonly registration: GroupRegistration;
  readonly ticks: TickWatch;
}

export async function runTick({ log, config, tokens, registration, ticks, ...deps }: TickDependencies): Promise<void> {
  try {
    const current = config();
    const planner = { ...deps, config: current, tokenOf: tokens.of };
    const { unreadable, lost, ...counts } = await tick(planner);
    ticks.ticked();
    const groupOf = (recordId: string) => current.groupsByJid.get(recordId)?.id ?? recordId;
    registration.reportUnreadable(unreadable.map(({ recordId, reason }) => ({ group: groupOf(recordId), reason })));
    if (lost.length > 0) await registration.registerLost(lost);
    const called = await promoteWaiting(planner, waitsForSlot);
    log.debug({ event: 'plan.tick', ...counts, called }, 'planned');
  } catch (error) {
    log.error({ event: 'plan.failed', err: error }, 'a tick of the planner failed');
    throw error;
  }
}

export interface TickWatch {
  /** `note`: the last tick's, as it is in Redis now; null: there is none. */
  saw(note: string | null): void;
  /** This process finished a tick. */
  ticked(): void;
  /** Time since the last tick; null: none was seen since this process started. */
  ageMs(): number | null;
  /** Time since the last tick, or since this process started. */
  silentMs(): number;
}

/** Goes by whether the note changes, and by this process's steady clock: a clock that is set does not matter. */
export function watchTicks(): TickWatch {
  const startedAt = performance.now();
  let lastNote: string | null | undefined;
  let lastAt: number | null = null;
  const ageMs = () => (lastAt === null ? null : performance.now() - lastAt);
  return {
    saw(note) {
      // The first note shows no change, and a note that disappeared was no tick.
      if (lastNote !== undefined && note !== null && note !== lastNote) lastAt = performance.now();
      lastNote = note;
    },
    ticked() {
      lastAt = performance.now();
    },
    ageMs,
    silentMs: () => ageMs() ?? performance.now() - startedAt,
  };
}

export interface Scheduler {
  /** Sets the scheduler up, and triggers a tick at once. */
  setUp(): Promise<void>;
  /** Sets it up again if it is missing or silent. `isPaused`: no tick is expected, because the planner's queue is paused. */
  reconcile(isPaused: boolean): Promise<void>;
  /** Sets it up from scratch: an update would keep the time of its next job. */
  reset(): Promise<void>;
  /** Triggers a tick at once. */
  tickNow(): Promise<void>;
}

/** Without a tick for this long, the scheduler is silent. */
const lateTickMs = 3 * tickMs;
const schedulerId = 'plan';

export function createScheduler(plans: Queue, ticks: TickWatch, log: Logger): Scheduler {
  /** When it was last set up for being silent, or last seen paused. */
  let triedAt = Number.NEGATIVE_INFINITY;

  async function tickNow(): Promise<void> {
    await plans.add('plan', {}, releasedRetention);
  }

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
