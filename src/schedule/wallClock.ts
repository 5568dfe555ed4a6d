/**
 * What a wall clock shows in a time zone, and when. A reading is written as the milliseconds since 1970 at which a
 * clock in UTC shows the same. Where a change of the clocks makes a reading come twice or never, this says so; what a
 * schedule makes of it is decided in `cron.ts` and `window.ts`.
 */
import { IANAZone } from 'luxon';

export const minuteMs = 60_000;
export const dayMs = 86_400_000;

/** A name such as `America/Sao_Paulo` or `UTC`; offsets such as `+03:00` are none. */
export function isTimezone(name: string): boolean {
  return /^[A-Za-z]/.test(name) && IANAZone.isValidZone(name);
}

/** What the clock shows at a moment. */
export function readingAt(timezone: string, atMs: number): number {
  return atMs + offsetMs(timezone, atMs);
}

/** The start of a reading's day. */
export function midnightOf(reading: number): number {
  return Math.floor(reading / dayMs) * dayMs;
}

/** The moments at which the clock shows this, in order: one, two where it is turned back over it, none where it skips it. */
export function momentsOf(timezone: string, reading: number): number[] {
  const [before, after] = offsetsAround(timezone, reading, reading);
  if (before === after) return [reading - before];
  return [...new Set([reading - before, reading - after])]
    .filter((atMs) => readingAt(timezone, atMs) === reading)
    .sort((a, b) => a - b);
}

/** The first of `momentsOf`; for a reading that is skipped, as long after the change as it would have been. */
export function momentOf(timezone: string, reading: number): number {
  return momentsOf(timezone, reading)[0] ?? reading - offsetsAround(timezone, reading, reading)[0];
}

/** The offset that holds for every reading of this day; null on and around a day on which it changes. */
export function steadyOffsetMs(timezone: string, midnight: number): number | null {
  const [before, after] = offsetsAround(timezone, midnight, midnight + dayMs);
  return before === after ? before : null;
}

/** The moment at which the clocks change during this day; null where they do not. */
export function changeOn(timezone: string, midnight: number): number | null {
  if (steadyOffsetMs(timezone, midnight) !== null) return null;
  let before = momentOf(timezone, midnight) - 1;
  let changed = momentOf(timezone, midnight + dayMs) - 1;
  const offsetBefore = offsetMs(timezone, before);
  if (offsetBefore === offsetMs(timezone, changed)) return null;
  while (changed - before > 1) {
    const middle = Math.floor((before + changed) / 2);
    if (offsetMs(timezone, middle) === offsetBefore) before = middle;
    else changed = middle;
  }
  return changed;
}

/** Offsets surely before the first and surely after the last reading: no zone is a day away from UTC. */
function offsetsAround(timezone: string, first: number, last: number): readonly [number, number] {
  return [offsetMs(timezone, first - dayMs), offsetMs(timezone, last + dayMs)];
}

/** How far the zone's clock is ahead of UTC. */
function offsetMs(timezone: string, atMs: number): number {
  return IANAZone.create(timezone).offset(atMs) * minuteMs;
}
