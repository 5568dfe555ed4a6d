/**
 * Checks, a few instances at a time, that the planner knows which of them have something to do. Needed once after an update
 * from 0.3, while a worker of that version runs, and if Redis has lost an entry: each delays its work by at most
 * `refreshMs`. Each worker checks the instances that it serves: every instance has a worker that serves it.
 */
import { bucketOf } from '../budget/budget.ts';
import { refreshInstances, refreshWaitLists } from '../planner/agenda.ts';
import { tickMs } from '../planner/headroom.ts';
import type { Base } from './base.ts';

/** Every instance is checked once in this time. */
const refreshMs = 60_000;
const slices = refreshMs / tickMs;

/** To be called once per tick. The first call checks all instances that this worker serves, each later one a slice of them. */
export function createRefresh(
  base: Pick<Base, 'redis' | 'prefix' | 'keys' | 'config' | 'tokens'>,
  serves: (instance: string) => boolean,
): () => Promise<void> {
  let slice: number | null = null;
  return async () => {
    const names = base.config().instances.map(({ name }) => name);
    // A slice of the file, so that no instance changes its slice when workers join or leave.
    const some = names.filter((name, i) => (slice === null || i % slices === slice) && serves(name));
    await refreshInstances(base, some);
    await refreshWaitLists(base, [...new Set(some.map((name) => bucketOf(base.tokens.of(name))))]);
    slice = slice === null ? 0 : (slice + 1) % slices;
  };
}
