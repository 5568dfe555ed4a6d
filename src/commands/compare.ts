/** For `check`: what saving the file would do to the groups that are registered in Redis, if it can be reached. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { editsOf, type FileEdits } from '../groups/edits.ts';
import { groupsFile } from '../groups/files.ts';
import { createDatabase } from '../redis/database.ts';
import { withoutCommand } from '../redis/errors.ts';
import { runningRedis } from './redisTarget.ts';

export type Comparison =
  | ({ readonly compared: true } & FileEdits)
  /** `why`: without a password. */
  | { readonly compared: false; readonly why: string };

/** `check` needs no Redis, so it does not wait for one for long. */
const reachMs = 2_000;
/** Enough for a hundred thousand groups. */
const compareMs = 15_000;
/** Groups listed for people. */
const maxListed = 20;

/** Writes nothing to Redis, and never rejects. */
export async function compareWithRedis(config: Config): Promise<Comparison> {
  const signal = AbortSignal.timeout(reachMs);
  try {
    const target = runningRedis(config.redis, process.env);
    // Loaded only if there is a Redis.
    const { connectRedis } = await import('../redis/connection.ts');
    const redis = await connectRedis(target, { signal, refusedForMs: 0 });
    try {
      const edits = await Promise.race([
        editsOf(createDatabase(redis, config.redis.prefix), await groupsFile(config)),
        sleep(compareMs, null, { ref: false }),
      ]);
      return edits === null ? { compared: false, why: 'Redis answers too slowly' } : { compared: true, ...edits };
    } finally {
      redis.disconnect();
    }
  } catch (error) {
    const why = signal.aborted && error === signal.reason ? `Redis did not answer within ${reachMs / 1000} s` : null;
    return { compared: false, why: why ?? withoutCommand(error).message };
  }
}

/** Under the plan. */
export function comparisonLines(comparison: Comparison): string[] {
  if (!comparison.compared) return [`Not compared with the groups that are registered in Redis: ${comparison.why}.`];
  const { registered, changes } = comparison;
  if (registered === 0) return ['No group is registered in Redis yet: the next start is the first one.'];
  if (changes.length === 0) return [`Saving this file changes no group (registered in Redis: ${registered}).`];
  const counts = new Map<string, number>();
  for (const { actions } of changes)
    for (const action of new Set(actions)) counts.set(action, (counts.get(action) ?? 0) + 1);
  const summary = [...counts].map(([action, count]) => `${count} ${action}`).join(', ');
  const listed = changes.slice(0, maxListed).map(({ group, text }) => `  ${group}: ${text}`);
  const more = changes.length > maxListed ? [`  and ${changes.length - maxListed} more`] : [];
  const groups = changes.length === 1 ? '1 group' : `${changes.length} groups`;
  return [`Saving this file changes ${groups} (registered in Redis: ${registered}): ${summary}.`, ...listed, ...more];
}
