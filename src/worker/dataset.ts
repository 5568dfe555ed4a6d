/**
 * Whether Redis still holds what it held: each data set has a name, and another name means that everything was lost, by
 * `FLUSHALL` or a restart without the data.
 */
import { randomUUID } from 'node:crypto';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';

export interface Dataset {
  /** Whether the data set is another one than at the last look. Names one that has no name. */
  isOther(): Promise<boolean>;
}

export function watchDataset(redis: RedisClient, keys: Keys): Dataset {
  let known: string | null = null;
  return {
    async isOther() {
      const before = known;
      const isNamed = (await redis.setnx(keys.dataset, randomUUID())) === 0;
      known = await redis.get(keys.dataset);
      if (before === null || known === before) return false;
      // Somebody has deleted nothing but the name.
      return isNamed || (await redis.exists(keys.registered)) === 0;
    },
  };
}
