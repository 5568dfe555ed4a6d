/**
 * Checks, a few instances at a time, that the planner knows which of them have something to do. Needed once after an update
 * from 0.3, while a worker of that version runs, and if Redis has lost an entry: each delays its work by at most
 * `refreshMs`.
 */
import { bucketOf } from '../budget/budget.ts';
import { refreshInstances, refreshWaitLists } from '../planner/agenda.ts';
import { tickMs } from '../planner/headroom.ts';
import type { Base } from './base.ts';

/** Every instance is checked once in this time. */
const refreshMs = 60_000;
const slices = refreshMs / tickMs;

/** To be called once per tick. The first call checks all instances, each later one a slice of them. */
export function createRefresh(
  base: Pick<Base, 'redis' | 'prefix' | 'keys' | 'config' | 'tokens'>,
): () => Promise<void> {
  let slice: number | null = null;
  return async () => {
    const names = base.config().instances.map(({ name }) => name);
    const some = slice === null ? names : names.filter((_, i) => i % slices === slice);
    await refreshInstances(base, some);
    await refreshWaitLists(base, [...new Set(some.map((name) => bucketOf(base.tokens.of(name))))]);
    slice = slice === null ? 0 : (slice + 1) % slices;
  };
}
