/** What a running worker knows of its own health: kept up by writing to Redis now and then, and by the jobs it takes. */
import type { Logger } from '../log.ts';
import type { Health } from '../ops/readiness.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { repeat } from './repeat.ts';
import type { Ticks } from './ticks.ts';

export interface HealthWatch {
  /** This process took a job of that instance. */
  took(instance: string): void;
  now(): Health;
  stop(): Promise<void>;
}

export interface HealthDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  /** Instances with jobs that wait though nothing holds them up. */
  readonly waiting: () => Promise<readonly string[]>;
  /** Recreates the worker of an instance that takes none of its jobs; false: it has some in hand. */
  readonly recreate: (instance: string) => boolean;
  readonly log: Logger;
  readonly configBroken: () => boolean;
  /** Queues that somebody has paused. */
  readonly paused: () => readonly string[];
  readonly ticks: Ticks;
  /** Why Redis cannot be worked with now; null: it can. */
  readonly redisTrouble: () => string | null;
}

const everyMs = 2_000;
/** Queues are looked at less often: there may be hundreds. */
const queuesEveryMs = 10_000;
/** Redis that takes no write for so long, or does not say what waits, is the trouble itself. */
const outageMs = 10_000;
/** Jobs that wait for so long, while none is taken, are stuck. */
const stuckMs = 60_000;
/** Before that, and again after each such time, their worker is recreated: BullMQ's have hung after an outage. */
const hungMs = 30_000;

export function watchHealth(deps: HealthDependencies): HealthWatch {
  const { redis, keys, waiting, recreate, log, configBroken, paused, ticks, redisTrouble } = deps;
  let wroteAt: number | null = null;
  let stopping = false;
  /** When an instance with waiting jobs was last seen to move. */
  const moved = new Map<string, number>();
  let stuck: readonly string[] = [];
  /** When the worker of such an instance was last recreated. */
  const recreated = new Map<string, number>();

  async function look(): Promise<void> {
    await redis.set(keys.heartbeat, await redisTime(redis, keys), 'PX', 60_000);
    wroteAt = performance.now();
    ticks.saw(await redis.get(keys.lastTick));
  }

  async function lookAtQueues(): Promise<void> {
    const askedAt = performance.now();
    const held = new Set(await waiting());
    // In an outage nothing moves, and nobody is to blame.
    const now = performance.now();
    if (now - askedAt > outageMs || wroteAt === null || now - wroteAt > outageMs) moved.clear();
    for (const instance of moved.keys()) if (!held.has(instance)) moved.delete(instance);
    for (const instance of held) if (!moved.has(instance)) moved.set(instance, performance.now());
    for (const instance of recreated.keys()) if (!held.has(instance)) recreated.delete(instance);
    for (const instance of held) recreateHung(instance);
    stuck = [...moved].flatMap(([instance, at]) => (performance.now() - at > stuckMs ? [instance] : []));
  }

  function recreateHung(instance: string): void {
    const since = Math.max(moved.get(instance) ?? 0, recreated.get(instance) ?? 0);
    if (performance.now() - since < hungMs || !recreate(instance)) return;
    if (!recreated.has(instance)) {
      log.warn(
        { event: 'worker.recreated', instance },
        `${instance}: jobs wait, nothing holds them up, and none is taken: their worker is recreated`,
      );
    }
    recreated.set(instance, performance.now());
  }
  // What could not be written shows in its age.
  const looks = [repeat(everyMs, look, () => {}), repeat(queuesEveryMs, lookAtQueues, () => {})];
  looks[0]?.now();

  return {
    took(instance) {
      if (moved.has(instance)) moved.set(instance, performance.now());
      recreated.delete(instance);
    },
    now: () => ({
      stopping,
      redisWriteAgeMs: wroteAt === null ? null : performance.now() - wroteAt,
      tickAgeMs: ticks.ageMs(),
      stuck,
      configBroken: configBroken(),
      paused: paused(),
      redisTrouble: redisTrouble(),
    }),
    async stop() {
      stopping = true;
      for (const one of looks) await one.stop();
    },
  };
}
