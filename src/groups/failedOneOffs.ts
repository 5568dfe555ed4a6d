/**
 * The one-offs that have failed, each remembered in the same step as its failure event. If its worker is killed before its
 * job ends, the job runs again, and the name of its group may lead to another record by then, or to none.
 */
import type { Database } from '../redis/database.ts';

/** Longer than any job of a killed worker waits, unless its queue is paused for so long. ms. */
export const failedMs = 24 * 3_600_000;

/** Why this one-off has failed. Null: it has not. */
export async function failureOf(
  { redis, keys }: Pick<Database, 'redis' | 'keys'>,
  identity: string,
): Promise<string | null> {
  return await redis.get(keys.failedOneOff(identity));
}
