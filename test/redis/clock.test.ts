import { expect, it, onTestFinished, vi } from 'vitest';
import { watchClock } from '../../src/redis/clock.ts';

/** A clock, beside a steady one that advances by `pass`. */
function clocks() {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  let nowMs = 1_000_000;
  /** How long an answer takes, before and after the clock is read. */
  const takes = { before: 0, after: 0 };
  const pass = (ms: number) => {
    nowMs += ms;
    vi.advanceTimersByTime(ms);
  };
  const watch = watchClock(() => {
    pass(takes.before);
    const seen = nowMs;
    pass(takes.after);
    return seen;
  });
  const set = (byMs: number) => {
    nowMs += byMs;
  };
  return { pass, set, takes, back: async () => (await watch.read()).backMs };
}

it('reports once by how much a clock was set back', async () => {
  const { pass, set, back } = clocks();
  expect(await back()).toBe(0);
  pass(5_000);
  set(-120_000);
  expect(await back()).toBe(120_000);
  pass(5_000);
  expect(await back()).toBe(0);
});

it('reports it although the clock is ahead of its last reading', async () => {
  const { pass, set, back } = clocks();
  await back();
  pass(60_000);
  set(-30_000);
  expect(await back()).toBe(30_000);
});

it.each([
  ['a clock that was set forward', { set: 3_600_000 }],
  ['a clock that is slewed', { set: -900 }],
  ['an answer that was long on its way there', { before: 10_000 }],
  ['an answer that was long on its way back', { after: 10_000 }],
] as [string, { set?: number; before?: number; after?: number }][])('is not misled by %s', async (_name, how) => {
  const { pass, set, takes, back } = clocks();
  await back();
  pass(1_000);
  set(how.set ?? 0);
  Object.assign(takes, { before: how.before ?? 0, after: how.after ?? 0 });
  expect(await back()).toBe(0);
  Object.assign(takes, { before: 0, after: 0 });
  pass(1_000);
  expect(await back()).toBe(0);
});
