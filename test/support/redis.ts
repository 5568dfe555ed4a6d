/**
 * Redis for tests: each test that asks gets a prefix of its own on the tests' server. Its keys are deleted when it
 * passes and kept for inspection when it fails.
 */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { type Keys, makeKeys } from '../../src/redis/keys.ts';
import { until } from './until.ts';

export interface TestRedis {
  readonly redis: Redis;
  readonly url: string;
  readonly prefix: string;
  readonly keys: Keys;
}

/**
 * Call it inside a test. Clean-ups that are registered later run first. A test that passed but left a worker's
 * connection open, or a process that still writes, fails here.
 */
export function testRedis(): TestRedis {
  const url = inject('redisUrl');
  const prefix = `test-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  onTestFinished(async ({ task }) => {
    try {
      if (task.result?.state === 'fail') console.error(`keys of this test are kept under ${prefix}:`);
      else await leaveNothing(redis, prefix);
    } finally {
      redis.disconnect();
    }
  });
  return { redis, url, prefix, keys: makeKeys(prefix) };
}

async function leaveNothing(redis: Redis, prefix: string): Promise<void> {
  // BullMQ names a worker's blocking connection after its prefix.
  const open = async () => ((await redis.client('LIST')) as string).match(new RegExp(`name=${prefix}:\\S*`, 'g'));
  await until('every worker of this test to be closed', async () => (await open()) === null);
  const found = await keysOf(redis, prefix);
  if (found.length > 0) await redis.del(...found);
  const left = await keysOf(redis, prefix);
  if (left.length > 0) throw new Error(`something still writes after the test: ${left.join(', ')}`);
}

async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 })) found.push(...(keys as string[]));
  return found;
}
