/** JIDs of codes that a worker has resolved before. A command that asks RyzeAPI knows more with Redis, and needs none. */
import type { Config } from '../config/config.ts';
import { resolveIdentifiers } from '../groups/jids.ts';
import { connectRedis } from '../redis/connection.ts';
import { createDatabase } from '../redis/database.ts';
import { runningRedis } from './redisTarget.ts';

/** How long Redis may take to answer. */
const timeoutMs = 3_000;

/** By code. Empty if no Redis is configured or running, or if it does not answer. */
export async function knownJids({ groups, redis: settings }: Config): Promise<ReadonlyMap<string, string>> {
  const codes = groups.flatMap(({ identifier }) => (identifier.kind === 'code' ? [identifier.code] : []));
  if (codes.length === 0) return new Map();
  try {
    const target = runningRedis(settings, process.env);
    const redis = await connectRedis(target, { signal: AbortSignal.timeout(timeoutMs), refusedForMs: timeoutMs });
    try {
      return await resolveIdentifiers(createDatabase(redis, settings.prefix), codes);
    } finally {
      redis.disconnect();
    }
  } catch {
    return new Map();
  }
}
