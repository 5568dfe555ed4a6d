/** One installation's data in Redis: the client, and the names of the keys. Made once at start and handed down. */
import { type Keys, makeKeys } from './keys.ts';
import { loadScript, type RedisClient, runScript } from './scripts.ts';

export interface Database {
  readonly redis: RedisClient;
  /** BullMQ's prefix: all keys start with it. */
  readonly prefix: string;
  readonly keys: Keys;
}

export function createDatabase(redis: RedisClient, prefix: string): Database {
  return { redis, prefix, keys: makeKeys(prefix) };
}

const time = loadScript('time', import.meta.url);

/** Redis's time in milliseconds since 1970: the only clock that several processes share. */
export async function redisTime({ redis, keys }: Database): Promise<number> {
  return await redisTimeAt(redis, keys.lastTick);
}

/** The same for a user that may not access every key. `key` is one of its own; it is not touched. */
export async function redisTimeAt(redis: RedisClient, key: string): Promise<number> {
  return Number(await runScript(redis, time, [key], []));
}
