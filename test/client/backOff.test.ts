import { expect, it } from 'vitest';
import { createBackOff } from '../../src/client/backOff.ts';

it('doubles up to its cap, with jitter down to half, and starts over after a success', () => {
  const longest = createBackOff({ baseDelayMs: 100, maxDelayMs: 1_000 }, () => 0);
  expect(Array.from({ length: 6 }, () => longest.failed('vip.1'))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(longest.failed('other.1')).toBe(100);
  longest.ended('vip.1');
  expect(longest.hasFailed('vip.1')).toBe(false);
  expect(longest.failed('vip.1')).toBe(100);
  const shortest = createBackOff({}, () => 1);
  expect(Array.from({ length: 5_000 }, () => shortest.failed('vip.1')).at(-1)).toBe(30_000);
});

it('forgets the oldest of very many events', () => {
  const backOff = createBackOff();
  for (let i = 0; i <= 10_000; i++) backOff.failed(`g${i}.1`);
  expect(backOff.hasFailed('g0.1')).toBe(false);
  expect(backOff.hasFailed('g1.1')).toBe(true);
});

it('rejects invalid times', () => {
  expect(() => createBackOff({ baseDelayMs: 0 })).toThrow('retry.baseDelayMs: expected milliseconds above 0, found 0');
  expect(() => createBackOff({ maxDelayMs: Number.NaN })).toThrow('retry.maxDelayMs: ');
});
