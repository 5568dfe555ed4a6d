import { expect, it } from 'vitest';
import { inLanes } from '../../src/planner/lanes.ts';

/** Keeps the event loop busy, as the handling of an answer does. */
function work(): Promise<void> {
  const until = performance.now() + 2;
  while (performance.now() < until);
  return Promise.resolve();
}

it('lets other work run between tasks that follow each other without a pause', async () => {
  let done = 0;
  const others: number[] = [];
  const timer = setInterval(() => others.push(done), 1);
  await inLanes(Array.from({ length: 60 }), 50, async () => {
    await work();
    done += 1;
  });
  clearInterval(timer);
  expect(done).toBe(60);
  expect(others.filter((before) => before > 0 && before < 60).length).toBeGreaterThan(2);
});

it('handles every item, and rejects with the first failure', async () => {
  const handled: number[] = [];
  const run = inLanes([1, 2, 3, 4], 2, (item) => {
    handled.push(item);
    return item % 2 === 0 ? Promise.reject(new Error(`failed at ${item}`)) : Promise.resolve();
  });
  await expect(run).rejects.toThrow('failed at 2');
  expect(handled).toEqual([1, 2, 3, 4]);
});
