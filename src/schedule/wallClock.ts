/**
 * What a wall clock in a time zone shows at a moment, and the reverse. A reading is the moment at which a clock in UTC
 * shows the same, in milliseconds since 1970. A clock change makes some readings occur twice or never; `cron.ts` and
 * `window.ts` decide what that means for a schedule.
 */
import { luxon } from '../packages.ts';
import { memoize } from './memoize.ts';

export const minuteMs = 60_000;
export const dayMs = 86_400_000;

/** A name such as `America/Sao_Paulo` or `UTC`, not an offset such as `+03:00`. */
export const isTimezone = memoize((name): boolean => /^[A-Za-z]/.test(name) && luxon().IANAZone.isValidZone(name));

/** What the clock shows at a moment. */
export function readingAt(timezone: string, atMs: number): number {
  return atMs + offsetMs(timezone, atMs);
}

/** The start of a reading's day. */
export function midnightOf(reading: number): number {
  return Math.floor(reading / dayMs) * dayMs;
}

/** The moments with this reading, in order: usually one, two if the clock is turned back over it, none if it is skipped. */
export function momentsOf(timezone: string, reading: number): number[] {
  const [before, after] = offsetsAround(timezone, reading, reading);
  if (before === after) return [reading - before];
  return [...new Set([reading - before, reading - after])]
    .filter((atMs) => readingAt(timezone, atMs) === reading)
    .sort((a, b) => a - b);
}

/** The first of `momentsOf`. A skipped reading is moved later by the length of the change. */
export function momentOf(timezone: string, reading: number): number {
  return momentsOf(timezone, reading)[0] ?? reading - offsetsAround(timezone, reading, reading)[0];
}

/** The offset from UTC for every reading of this day; null on a day with a clock change and next to one. */
export function steadyOffsetMs(timezone: string, midnight: number): number | null {
  const [before, after] = offsetsAround(timezone, midnight, midnight + dayMs);
  return before === after ? before : null;
}

/** The moment of the clock change on this day; null if there is none. */
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

/** The offsets before the first and after the last reading. A day is enough, because no zone is a day away from UTC. */
function offsetsAround(timezone: string, first: number, last: number): readonly [number, number] {
  return [offsetMs(timezone, first - dayMs), offsetMs(timezone, last + dayMs)];
}

/** How far the zone's clock is ahead of UTC. Asking the zone takes long, so it is asked about each day of UTC once. */
function offsetMs(timezone: string, atMs: number): number {
  const offsets = offsetsOfDays(timezone)(Math.floor(atMs / dayMs));
  return atMs < offsets.changedAt ? offsets.before : offsets.after;
}

/** Of a day of UTC. Without a clock change, both offsets are the same. No zone changes its clock twice in a day. */
interface Offsets {
  readonly before: number;
  readonly after: number;
  readonly changedAt: number;
}

const maxDays = 5_000;
const offsetsOfDays = memoize((timezone) => memoize((day: number) => offsetsOn(timezone, day * dayMs), maxDays));

function offsetsOn(timezone: string, startMs: number): Offsets {
  const [before, after] = [exactOffsetMs(timezone, startMs), exactOffsetMs(timezone, startMs + dayMs)];
  if (before === after) return { before, after, changedAt: startMs };
  let [last, changedAt] = [startMs, startMs + dayMs];
  while (changedAt - last > 1) {
    const middle = Math.floor((last + changedAt) / 2);
    if (exactOffsetMs(timezone, middle) === before) last = middle;
    else changedAt = middle;
  }
  return { before, after, changedAt };
}

function exactOffsetMs(timezone: string, atMs: number): number {
  return luxon().IANAZone.create(timezone).offset(atMs) * minuteMs;
}
