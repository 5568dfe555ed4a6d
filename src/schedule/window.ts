/**
 * Rotation windows: on which days and between which times scheduled rotations may happen. Pure.
 *
 * What counts is what the wall clock shows. So where the clocks change, a window opens at the change if its beginning
 * is skipped, does not open that day if all of it is, and opens once more if the clock is turned back into it.
 */
import { changeOn, dayMs, midnightOf, minuteMs, momentsOf, readingAt } from './wallClock.ts';

/** In the order of ISO weekdays. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof weekdays)[number];

/** Times of day are minutes since midnight in the schedule's zone; `toMinute < fromMinute` runs over midnight. */
export interface Window {
  /** From 0 to 1439, inclusive. */
  readonly fromMinute: number;
  /** From 0 to 1440, exclusive; never the same as `fromMinute`. */
  readonly toMinute: number;
  /** Days on which the window opens; at least one. */
  readonly days: readonly Weekday[];
}

/** Two weeks, because a change of the clocks can swallow the only opening of one. */
const searchDays = 15;

export function isOpen(window: Window, timezone: string, atMs: number): boolean {
  const reading = readingAt(timezone, atMs);
  const today = midnightOf(reading);
  const minute = (reading - today) / minuteMs;
  const { fromMinute, toMinute } = window;
  if (fromMinute < toMinute) return minute >= fromMinute && minute < toMinute && opensOn(window, today);
  return minute >= fromMinute ? opensOn(window, today) : minute < toMinute && opensOn(window, today - dayMs);
}

/** `atMs` if the window is open then, else its next opening. */
export function slide(window: Window, timezone: string, atMs: number): number {
  if (isOpen(window, timezone, atMs)) return atMs;
  const today = midnightOf(readingAt(timezone, atMs));
  for (let day = 0; day <= searchDays; day++) {
    const opening = openings(window, timezone, today + day * dayMs).find((moment) => moment > atMs);
    if (opening !== undefined) return opening;
  }
  throw new Error(`no opening of the window within ${searchDays} days`);
}

/** The moments of a day at which the window may turn from shut to open, in order. */
function openings(window: Window, timezone: string, midnight: number): number[] {
  const change = changeOn(timezone, midnight);
  const begins = opensOn(window, midnight) ? momentsOf(timezone, midnight + window.fromMinute * minuteMs) : [];
  return [...begins, ...(change === null ? [] : [change])]
    .filter((moment) => isOpen(window, timezone, moment))
    .sort((a, b) => a - b);
}

function opensOn({ days }: Window, midnight: number): boolean {
  // 1970 began on a Thursday.
  const weekday = weekdays[(((midnight / dayMs + 3) % 7) + 7) % 7];
  return weekday !== undefined && days.includes(weekday);
}
