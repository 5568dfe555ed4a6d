/** A prefix of its own on the tests' Redis, for each test that asks: emptied when it passed, kept for a look if not. */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { type Keys, makeKeys } from '../../src/redis/keys.ts';

export interface TestRedis {
  readonly redis: Redis;
  readonly url: string;
  readonly prefix: string;
  readonly keys: Keys;
}

/** Call it inside of a test. What is registered to be cleaned up later is cleaned up first. */
export function testRedis(): TestRedis {
  const url = inject('redisUrl');
  const prefix = `test-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`keys of this test are kept under ${prefix}:`);
    else await removeKeys(redis, prefix);
    redis.disconnect();
  });
  return { redis, url, prefix, keys: makeKeys(prefix) };
}

async function removeKeys(redis: Redis, prefix: string): Promise<void> {
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 })) {
    if ((keys as string[]).length > 0) await redis.del(...(keys as string[]));
  }
}
