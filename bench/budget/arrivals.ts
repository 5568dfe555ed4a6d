/**
 * When calls arrive, and the shortest time in which any client could make them. Times are milliseconds since 1970.
 */
import type { WindowKind } from '../../dev/standin/limiter.ts';

export interface Limit {
  readonly window: WindowKind;
  readonly max: number;
  readonly perMs: number;
}

/** A few that trickle in over a twentieth of a window, then all the others at once. */
export function arrivalTimes(calls: number, trickling: number, perMs: number, startMs: number): number[] {
  const restAt = perMs / 20;
  return Array.from({ length: calls }, (_, i) => startMs + (i < trickling ? (i * restAt) / trickling : restAt));
}

/**
 * When an ideal client would make each call: one that knows the server's clock and windows, and whose requests arrive at
 * once. It makes a call as soon as the call has arrived and the window has capacity.
 */
export function idealTimes(arrivals: readonly number[], { window, max, perMs }: Limit): number[] {
  const times: number[] = [];
  const windowOf = (at: number) => Math.floor(at / perMs);
  for (const [i, arrival] of arrivals.entries()) {
    const earlier = times[i - max];
    if (earlier === undefined) times.push(Math.max(arrival, times[i - 1] ?? 0));
    else if (window === 'sliding') times.push(Math.max(arrival, earlier + perMs));
    else times.push(Math.max(arrival, times[i - 1] ?? 0, (windowOf(earlier) + 1) * perMs));
  }
  return times;
}
