/** A record of the instance `bot` that the planner has postponed, as if its time had come. */
import { dueIndex, postpone } from '../../src/planner/jobs.ts';
import type { Database } from '../../src/redis/database.ts';

export async function endPostponement({ redis, keys }: Database, recordId: string, dueAt = 1): Promise<void> {
  const index = dueIndex(keys, 'bot');
  const score = Number(await redis.zscore(index.key, recordId));
  await postpone(redis, [{ index, recordId, score, untilMs: dueAt }]);
}
