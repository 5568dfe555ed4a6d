import { expect, it, onTestFinished, vi } from 'vitest';
import { createReconciler } from '../../src/worker/reconcile.ts';
import { createRegistration } from '../../src/worker/registerGroups.ts';
import { createScheduler, watchTicks } from '../../src/worker/ticks.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { testBase } from './testBase.ts';

async function reconciling() {
  const { redis, prefix } = testRedis();
  const { base, logged } = await testBase(redis, prefix);
  const registration = createRegistration(base);
  const register = vi.spyOn(registration, 'register').mockResolvedValue();
  const scheduler = createScheduler(base.plans, watchTicks(), base.log);
  vi.spyOn(registration, 'reconcile').mockResolvedValue();
  vi.spyOn(scheduler, 'setUp').mockResolvedValue();
  vi.spyOn(scheduler, 'reconcile').mockResolvedValue();
  const reconciler = createReconciler(base, registration, scheduler);
  onTestFinished(async () => {
    await reconciler.stop();
    await base.closeQueues();
  });
  await reconciler.start();
  return { redis, keys: base.keys, logged, register };
}

it('notices that Redis was emptied although its first command after that fails', async () => {
  const { redis, keys, logged, register } = await reconciling();
  vi.spyOn(redis, 'setnx').mockRejectedValueOnce(new Error('NOPERM no permissions'));
  await redis.del(keys.dataset);
  await until('the groups to be registered again', () => register.mock.calls.length > 0);
  expect(logged.map(({ event }) => event)).toEqual(expect.arrayContaining(['reconcile.failed', 'redis.emptied']));
});
