import { expect, it, onTestFinished, vi } from 'vitest';
import { watchTicks } from '../../src/worker/ticks.ts';

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
