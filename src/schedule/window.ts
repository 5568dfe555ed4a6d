/** Rotation windows: on which days and between which times scheduled rotations may happen. Pure. */
import { DateTime } from 'luxon';

/** In the order of ISO weekdays, from 1. */
export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof weekdays)[number];

/** Times of day are minutes since midnight in the schedule's zone; `toMinute <= fromMinute` runs over midnight. */
export interface Window {
  readonly fromMinute: number;
  readonly toMinute: number;
  /** Days on which the window opens. */
  readonly days: readonly Weekday[];
}

/** `atMs` if the window is open then, else its next opening. Ends are exclusive. */
export function slide(window: Window, timezone: string, atMs: number): number {
  const at = DateTime.fromMillis(atMs, { zone: timezone });
  const today = at.startOf('day');
  // From yesterday, whose window may reach over midnight, to the same weekday of next week.
  for (let day = -1; day <= 8; day++) {
    const date = today.plus({ days: day });
    if (!window.days.includes(weekdays[date.weekday - 1] as Weekday)) continue;
    const opens = atMinute(date, window.fromMinute);
    const closes = atMinute(window.toMinute > window.fromMinute ? date : date.plus({ days: 1 }), window.toMinute);
    // A window that a change to summer time swallows whole does not open that day.
    if (closes <= opens || atMs >= closes) continue;
    return Math.max(opens, atMs);
  }
  throw new Error('a window opens on at least one day of the week');
}

/** A time of day on the wall clock; one that summer time skips is the moment of the change. */
function atMinute(date: DateTime, minute: number): number {
  return date.set({ hour: Math.floor(minute / 60), minute: minute % 60 }).toMillis();
}
