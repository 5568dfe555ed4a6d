import fc from 'fast-check';
import { expect, it } from 'vitest';
import { eachInSlices, filterInSlices, mapInSlices, sortInSlices } from '../src/slices.ts';

it('lets other work run between two slices', async () => {
  let turns = 0;
  const other = setInterval(() => turns++, 1);
  const busyUntil = (at: number) => {
    while (performance.now() < at);
  };
  await eachInSlices([1, 2, 3, 4, 5, 6], () => busyUntil(performance.now() + 10));
  clearInterval(other);
  expect(turns).toBeGreaterThanOrEqual(3);
});

it('maps and filters in order', async () => {
  const items = Array.from({ length: 5_000 }, (_, n) => n);
  expect(await mapInSlices(items, (n) => n * 2)).toEqual(items.map((n) => n * 2));
  expect(await filterInSlices(items, (n) => n % 3 === 0)).toEqual(items.filter((n) => n % 3 === 0));
});

it('sorts like sort', async () => {
  const compare = (a: number, b: number) => a - b;
  for (const length of [0, 1, 999, 1_000, 1_001, 3_500]) {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer(), { minLength: length, maxLength: length }), async (items) => {
        expect(await sortInSlices(items, compare)).toEqual([...items].sort(compare));
      }),
      { numRuns: 5 },
    );
  }
});
