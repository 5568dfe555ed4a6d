/** A Redis server for one test, with a client that has every permission. It ends with the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { type RedisServerOptions, startRedisServer } from './redisServer.ts';

export async function ownServer(options: Partial<RedisServerOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-own-redis-'));
  const server = await startRedisServer({ binary: inject('redisServer'), folder, ...options });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, server, redis };
}
