/** Closes an instance's gate as a failed call does. */
import { type FailedCall, type Judgement, judgeFailure } from '../../src/budget/gate.ts';
import type { ErrorCode } from '../../src/contract/errorCodes.ts';
import { type Database, redisTime } from '../../src/redis/database.ts';

/** The call began now, unless `startedAt` says otherwise; its slot was never taken. */
export async function failCall(
  db: Database,
  instance: string,
  code: ErrorCode,
  { group = 'closer', call = 'reset', startedAt }: Partial<FailedCall> = {},
): Promise<Judgement> {
  const now = await redisTime(db);
  return await judgeFailure(db, instance, { group, call, code, startedAt: startedAt ?? now + 1, slot: '' });
}

/** As if the pause were over: one call may go through, also of the groups that are blamed. */
export async function endPause({ redis, keys }: Database, instance: string): Promise<void> {
  await redis.hset(keys.gate(instance), { until: 0, blamedUntil: 0, stoodBackAt: 0 });
}
