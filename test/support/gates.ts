/** Closes an instance's gate as a failed call does. */
import { type FailedCall, type Judgement, judgeFailure } from '../../src/budget/gate.ts';
import type { ErrorCode } from '../../src/contract/errorCodes.ts';
import { type Database, redisTime } from '../../src/redis/database.ts';
import type { Rig } from './rig.ts';
import { until } from './until.ts';

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

/**
 * The same, once the jobs that found the pause have been put back, and lets the queue go on. A job pauses its queue
 * before it is put back, so one that still runs could pause it again, for as long as the pause was to last.
 */
export async function resume(rig: Rig, instance: string): Promise<void> {
  const queue = rig.queue(instance);
  await until(`the jobs of ${instance} to be put back`, async () => (await queue.getActiveCount()) === 0);
  await endPause(rig, instance);
  await queue.removeRateLimitKey();
}
