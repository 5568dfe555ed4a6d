/**
 * Rotation windows: the days and times of day at which scheduled rotations may happen. Pure.
 *
 * The reading of the wall clock decides. On a day with a clock change, a window whose start is skipped opens at the
 * change, a window that is skipped as a whole does not open, and a window opens again if the clock is turned back into it.
 */
import { changeOn, dayMs, midnightOf, minuteMs, momentsOf, readingAt } from './wallClock.ts';

/** In the order of ISO weekdays. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof weekdays)[number];

/** Times of day are minutes since midnight in the schedule's zone; with `toMinute < fromMinute` the window ends on the next day. */
export interface Window {
  /** From 0 to 1439, inclusive. */
  readonly fromMinute: number;
  /** From 0 to 1440, exclusive; never the same as `fromMinute`. */
  readonly toMinute: number;
  /** Days on which the window opens; at least one. */
  readonly days: readonly Weekday[];
}

/** Two weeks, because a clock change can skip the only opening in one week. */
const searchDays = 15;

export function isOpen(window: Window, timezone: string, atMs: number): boolean {
  const reading = readingAt(timezone, atMs);
  const today = midnightOf(reading);
  const minute = (reading - today) / minuteMs;
  const { fromMinute, toMinute } = window;
  if (fromMinute < toMinute) return minute >= fromMinute && minute < toMinute && opensOn(window, today);
  return minute >= fromMinute ? opensOn(window, today) : minute < toMinute && opensOn(window, today - dayMs);
}

/** `atMs` if the window is open then, otherwise its next opening. */
export function slide(window: Window, timezone: string, atMs: number): number {
  if (isOpen(window, timezone, atMs)) return atMs;
  const today = midnightOf(readingAt(timezone, atMs));
  for (let day = 0; day <= searchDays; day++) {
    const opening = openings(window, timezone, today + day * dayMs).find((moment) => moment > atMs);
    if (opening !== undefined) return opening;
  }
  throw new Error(`the window does not open within ${searchDays} days`);
}

/** Whether the window should open on this day, and a clock change skips the whole of it. */
export function isSkippedOn(window: Window, timezone: string, midnight: number): boolean {
  return opensOn(window, midnight) && openings(window, timezone, midnight).length === 0;
}

/** The moments of a day at which the window may open, in order. */
function openings(window: Window, timezone: string, midnight: number): number[] {
  const change = changeOn(timezone, midnight);
  const starts = opensOn(window, midnight) ? momentsOf(timezone, midnight + window.fromMinute * minuteMs) : [];
  return [...starts, ...(change === null ? [] : [change])]
    .filter((moment) => isOpen(window, timezone, moment))
    .sort((a, b) => a - b);
}

function opensOn({ days }: Window, midnight: number): boolean {
  // 1970 began on a Thursday.
  const weekday = weekdays[(((midnight / dayMs + 3) % 7) + 7) % 7];
  return weekday !== undefined && days.includes(weekday);
}
