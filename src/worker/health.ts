/**
 * Tracks the health of a running worker: it writes to Redis regularly and watches its BullMQ workers. Recreates those
 * that hang.
 */
import type { Health } from '../ops/readiness.ts';
import { redisTime } from '../redis/database.ts';
import type { Base } from './base.ts';
import { type Repeated, repeat } from './tasks.ts';
import type { TickWatch } from './ticks.ts';
import type { Workers } from './workers.ts';

export interface HealthSources {
  readonly workers: Workers;
  readonly ticks: TickWatch;
  /** Queues that somebody has paused. */
  readonly paused: () => readonly string[];
  /** Why Redis cannot be used now; null: it can. */
  readonly redisTrouble: () => string | null;
}

const everyMs = 2_000;
/** Less often: there may be hundreds of queues. */
const queuesEveryMs = 10_000;
/** A Redis that accepts no write for this long counts as down. */
const redisDownMs = 10_000;
const heartbeatMs = 60_000;

export function createHealth(base: Base, { workers, ticks, paused, redisTrouble }: HealthSources) {
  const { redis, keys, reload } = base;
  let wroteAt: number | null = null;
  let stopping = false;
  let timers: readonly Repeated[] = [];
  const writeAgeMs = () => (wroteAt === null ? null : performance.now() - wroteAt);

  async function beat(): Promise<void> {
    await redis.set(keys.heartbeat, await redisTime(base), 'PX', heartbeatMs);
    wroteAt = performance.now();
    ticks.saw(await redis.get(keys.lastTick));
  }

  const watchWorkers = () => workers.watch(() => (writeAgeMs() ?? Number.POSITIVE_INFINITY) > redisDownMs);

  return {
    start(): void {
      // Errors need no report: they show in the age of the last write.
      timers = [repeat(everyMs, beat, () => {}), repeat(queuesEveryMs, watchWorkers, () => {})];
      timers[0]?.now();
    },
    now: (): Health => ({
      stopping,
      redisWriteAgeMs: writeAgeMs(),
      tickAgeMs: ticks.ageMs(),
      stuck: workers.stuck(),
      configBroken: reload.isBroken,
      config: { hash: reload.inForce.hash, since: reload.inForceSince },
      paused: paused(),
      redisTrouble: redisTrouble(),
    }),
    async stop(): Promise<void> {
      stopping = true;
      for (const timer of timers) await timer.stop();
    },
  };
}
