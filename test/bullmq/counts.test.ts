import { Queue, Worker } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { isRunnable } from '../../src/bullmq/counts.ts';
import { testRedis } from '../support/redis.ts';

function make() {
  const { redis, prefix } = testRedis();
  const queue = new Queue('rotations-bot', { connection: redis, prefix });
  onTestFinished(() => queue.close());
  const runnable = (nowMs = Date.now()) => isRunnable(redis, queue, nowMs);
  return { redis, prefix, queue, runnable };
}

it.each([
  ['a job waits', 'rotate', {}],
  ['a job with a priority waits', 'scheduled', { priority: 10 }],
  ['the time of a delayed job is long past', 'rotate', { delay: 1_000, timestamp: Date.now() - 60_000 }],
])('has a job to take if %s', async (_what, name, options) => {
  const { queue, runnable } = make();
  expect(await runnable()).toBe(false);
  await queue.add(name, {}, options);
  expect(await runnable()).toBe(true);
});

it('has no job to take if all are delayed', async () => {
  const { queue, runnable } = make();
  await queue.add('rotate', {}, { delay: 1_000 });
  expect(await runnable()).toBe(false);
});

it("judges delays by Redis's time and not by this machine's", async () => {
  const { queue, runnable } = make();
  const nowMs = Date.now() - 600_000;
  await queue.add('rotate', {}, { delay: 60_000, timestamp: nowMs });
  expect(await runnable(nowMs)).toBe(false);
  expect(await runnable(nowMs + 80_000)).toBe(true);
});

it('has no job to take while it is paused, rate-limited or at its global concurrency', async () => {
  const { redis, prefix, queue, runnable } = make();
  await queue.add('rotate', {});
  await queue.pause();
  expect(await runnable()).toBe(false);
  await queue.resume();
  expect(await runnable()).toBe(true);
  await queue.rateLimit(60_000);
  expect(await runnable()).toBe(false);
  await queue.removeRateLimitKey();
  expect(await runnable()).toBe(true);
  await queue.add('rotate', {});
  await queue.setGlobalConcurrency(1);
  expect(await runnable()).toBe(true);
  const worker = new Worker(queue.name, null, { connection: redis, prefix });
  onTestFinished(() => worker.close());
  await worker.getNextJob('token');
  expect(await runnable()).toBe(false);
});
