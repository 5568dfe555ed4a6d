/** What a running worker knows of its own health: kept up by writing to Redis now and then, and by the jobs it takes. */
import type { Health } from '../ops/readiness.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { repeat } from './repeat.ts';

export interface HealthWatch {
  /** This process took a job of that instance. */
  took(instance: string): void;
  /** This process finished a tick of the planner. */
  ticked(): void;
  now(): Health;
  stop(): Promise<void>;
}

export interface HealthDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  /** Instances with jobs that wait though nothing holds them up. */
  readonly waiting: () => Promise<readonly string[]>;
  readonly configBroken: () => boolean;
  /** Why Redis cannot be worked with now; null: it can. */
  readonly redisTrouble: () => string | null;
}

const everyMs = 2_000;
/** Queues are looked at less often: there may be hundreds. */
const queuesEveryMs = 10_000;
/** Jobs that wait for so long, while none is taken, are stuck. */
const stuckMs = 60_000;

export function watchHealth({ redis, keys, waiting, configBroken, redisTrouble }: HealthDependencies): HealthWatch {
  let wroteAt: number | null = null;
  let lastTick: { readonly ageMs: number; readonly at: number } | null = null;
  let stopping = false;
  /** When an instance with waiting jobs was last seen to move. */
  const moved = new Map<string, number>();
  let stuck: readonly string[] = [];

  async function look(): Promise<void> {
    const nowMs = await redisTime(redis, keys);
    await redis.set(keys.heartbeat, nowMs, 'PX', 60_000);
    wroteAt = performance.now();
    const tick = await redis.get(keys.lastTick);
    lastTick = tick === null ? null : { ageMs: Math.max(nowMs - Number(tick), 0), at: performance.now() };
  }

  async function lookAtQueues(): Promise<void> {
    const held = new Set(await waiting());
    for (const instance of moved.keys()) if (!held.has(instance)) moved.delete(instance);
    for (const instance of held) if (!moved.has(instance)) moved.set(instance, performance.now());
    stuck = [...moved].flatMap(([instance, at]) => (performance.now() - at > stuckMs ? [instance] : []));
  }
  // What could not be written shows in its age.
  const looks = [repeat(everyMs, look, () => {}), repeat(queuesEveryMs, lookAtQueues, () => {})];
  looks[0]?.now();

  return {
    took(instance) {
      if (moved.has(instance)) moved.set(instance, performance.now());
    },
    ticked() {
      lastTick = { ageMs: 0, at: performance.now() };
    },
    now: () => ({
      stopping,
      redisWriteAgeMs: wroteAt === null ? null : performance.now() - wroteAt,
      tickAgeMs: lastTick === null ? null : lastTick.ageMs + performance.now() - lastTick.at,
      stuck,
      configBroken: configBroken(),
      redisTrouble: redisTrouble(),
    }),
    async stop() {
      stopping = true;
      for (const one of looks) await one.stop();
    },
  };
}
