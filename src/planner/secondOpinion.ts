/**
 * A second opinion on a paused instance. When the pause is over and no other group's call has shown yet whose failure it
 * was, a read is released of a group that is not blamed: at most one a tick, and only where a read can open the gate.
 */
import type { Queue } from 'bullmq';
import { readGate, readProbing } from '../budget/gate.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { releaseReads } from './release.ts';

export interface SecondOpinionDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly queueOf: (instance: string) => Queue;
}

/** Groups among which to choose. */
const choice = 50;

/** `turn`: grows with each tick, so that a group that cannot be read is not asked each time. Returns how many were released. */
export async function askOthers(
  { redis, keys, queueOf }: SecondOpinionDependencies,
  instances: readonly string[],
  nowMs: number,
  turn: number,
): Promise<number> {
  const asked = await Promise.all(
    instances.map(async (instance) => {
      const gate = await readGate(redis, keys, instance, nowMs);
      if (gate === null || gate.opensInMs > 0) return 0;
      const { blamed, takesRead } = await readProbing(redis, keys, instance, nowMs);
      if (!takesRead) return 0;
      const scheduled = await redis.zrange(keys.due(instance), '0', String(blamed.size + choice - 1));
      const others = scheduled.filter((recordId) => !blamed.has(recordId));
      const recordId = others[turn % Math.max(others.length, 1)];
      if (recordId === undefined) return 0;
      await releaseReads(queueOf(instance), 'opinion', [{ recordId, group: recordId }]);
      return 1;
    }),
  );
  return asked.reduce<number>((sum, count) => sum + count, 0);
}
