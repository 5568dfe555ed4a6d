/** When the jobs of an instance count as neglected by the workers that serve it. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { watchNeglect } from '../../src/worker/neglect.ts';
import { testRedis } from '../support/redis.ts';
import { testBase } from './testBase.ts';

it.each([
  ['', 44_999],
  ['timeout: 10m, settleTime: 10m', 614_999],
])('does not take a call that needs its whole timeout for neglect (%j)', async (api, ms) => {
  const { redis, prefix } = testRedis();
  const { base } = await testBase(redis, prefix, { api });
  onTestFinished(() => base.closeQueues());
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  // One call is under way, and its worker has no place for the next job.
  await redis.rpush(base.queueOf('bot').toKey('active'), 'under way');
  await base.queueOf('bot').add('rotate', {});
  const neglect = watchNeglect(base);
  const lookAfter = async (passed: number) => {
    vi.advanceTimersByTime(passed);
    return [...(await neglect.look(['bot'], new Set()))];
  };
  expect(await lookAfter(0)).toEqual([]);
  expect(await lookAfter(ms)).toEqual([]);
  expect(await lookAfter(1)).toEqual(['bot']);
});
