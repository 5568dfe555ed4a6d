/**
 * Whether Redis still holds what it held: each data set has a name, and another name means that everything was lost, by
 * `FLUSHALL` or a restart without the data.
 */
import { randomUUID } from 'node:crypto';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';

export interface Dataset {
  /** Whether the data set is another one than at the last look. Gives a name to one that has none. */
  isOther(): Promise<boolean>;
}

export function watchDataset(redis: RedisClient, keys: Keys): Dataset {
  let known: string | null = null;
  return {
    async isOther() {
      let name = await redis.get(keys.dataset);
      if (name === null) {
        await redis.setnx(keys.dataset, randomUUID());
        name = await redis.get(keys.dataset);
      }
      const isOther = known !== null && name !== known;
      known = name;
      return isOther;
    },
  };
}
