import { expect, it, onTestFinished, vi } from 'vitest';
import { createRegistration } from '../../src/worker/registerGroups.ts';
import { createTick, watchTicks } from '../../src/worker/ticks.ts';
import { testRedis } from '../support/redis.ts';
import { testBase } from './testBase.ts';

function ticking() {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  return { ticks: watchTicks(), pass: (ms: number) => void vi.advanceTimersByTime(ms) };
}

it('knows of no tick before it has seen one', () => {
  const { ticks, pass } = ticking();
  ticks.saw('1000');
  pass(2_000);
  ticks.saw('1000');
  expect([ticks.ageMs(), ticks.silentMs()]).toEqual([null, 2_000]);
});

it('counts every change of the note as a tick, even to an earlier time', () => {
  const { ticks, pass } = ticking();
  ticks.saw('3600000');
  pass(5_000);
  ticks.saw('5000');
  pass(3_000);
  expect([ticks.ageMs(), ticks.silentMs()]).toEqual([3_000, 3_000]);
});

it('does not count a removed note as a tick, but the next note', () => {
  const { ticks, pass } = ticking();
  ticks.saw('1000');
  ticks.ticked();
  pass(5_000);
  ticks.saw(null);
  expect(ticks.ageMs()).toBe(5_000);
  pass(5_000);
  ticks.saw('11000');
  expect(ticks.ageMs()).toBe(0);
});

it('a tick that cannot plan the work of an instance is logged once and has not failed', async () => {
  const { redis, prefix, keys } = testRedis();
  const { base, logged } = await testBase(redis, prefix, { env: { TOKEN: 'a-token-of-the-test' } });
  base.tokens.load(base.config());
  const registration = createRegistration(base);
  await registration.register();
  // No BullMQ queue can be where a string is.
  await redis.set(base.queueOf('bot').toKey('prioritized'), 'x');
  const ticks = watchTicks();
  const tick = createTick(base, registration, ticks);
  for (let n = 0; n < 2; n++) await tick();
  expect(ticks.ageMs()).not.toBeNull();
  expect(await redis.get(keys.lastTick)).not.toBeNull();
  expect(logged.filter(({ event }) => event === 'plan.failed')).toMatchObject([{ level: 50, instances: 'bot' }]);
});
