/**
 * Compares the resets that groups need inside their windows with those that a limit allows while the windows are open.
 * Groups with the same window share it, and windows that overlap share the time in which they do. Pure.
 *
 * Windows are laid out on one week in minutes of UTC, with the offsets of a fixed moment, so that a file does not become
 * invalid by a clock change.
 */
import { meanPeriodMs, nextDue, type Schedule, slideIntoWindow } from '../schedule/schedule.ts';
import { readingAt } from '../schedule/wallClock.ts';
import { type Window, weekdays } from '../schedule/window.ts';
import type { GroupConfig } from './config.ts';
import { windowText } from './scheduleText.ts';

export interface WindowDemand {
  readonly groups: readonly GroupConfig[];
  /** The windows as text, each once. */
  readonly windows: readonly string[];
  /** Minutes of a week in which at least one of these windows is open. */
  readonly openMinutes: number;
  /** Resets a minute that the groups need while a window is open. */
  readonly asked: number;
  /** Resets a minute that the limit allows in that time. */
  readonly allowed: number;
}

/** `max` resets in any `perMs`. */
export interface Rate {
  readonly max: number;
  readonly perMs: number;
}

const minuteMs = 60_000;
const dayMinutes = 24 * 60;
const weekMinutes = 7 * dayMinutes;
/** A Monday without a clock change in the weeks after it. */
const monday = Date.UTC(2026, 0, 5);
/** More windows are compared one by one, and not in pairs. */
const maxPaired = 24;

/** Groups with the same schedule. */
interface Cohort {
  readonly groups: GroupConfig[];
  readonly window: string;
  /** For each minute of the week, 1 if the window is open. */
  readonly open: Uint8Array;
  /** Resets a week that each of its groups needs. */
  readonly weekly: number;
}

/** Those windows in which the limit is exceeded most; null if it is not exceeded. */
export function exceededWindows(groups: readonly GroupConfig[], rate: Rate): WindowDemand | null {
  const cohorts = cohortsOf(groups);
  let worst: WindowDemand | null = null;
  for (const open of candidates([...new Set(cohorts.map((cohort) => cohort.open))])) {
    const inside = cohorts.filter((cohort) => isInside(cohort.open, open));
    const openMinutes = open.reduce((sum, minute) => sum + minute, 0);
    const demand = {
      groups: inside.flatMap((cohort) => cohort.groups),
      windows: [...new Set(inside.map(({ window }) => window))],
      openMinutes,
      asked: inside.reduce((sum, cohort) => sum + cohort.weekly * cohort.groups.length, 0) / openMinutes,
      allowed: weeklyAllowed(open, rate) / openMinutes,
    };
    if (demand.asked <= demand.allowed * (1 + 1e-9)) continue;
    if (worst === null || demand.asked / demand.allowed > worst.asked / worst.allowed) worst = demand;
  }
  return worst;
}

function cohortsOf(groups: readonly GroupConfig[]): Cohort[] {
  const cohorts = new Map<string, Cohort>();
  const layouts = new Map<string, Uint8Array>();
  for (const group of groups) {
    const { window, timezone } = group.schedule;
    if (!group.enabled || window === null) continue;
    const key = JSON.stringify(group.schedule);
    const known = cohorts.get(key);
    if (known !== undefined) known.groups.push(group);
    else {
      const text = windowText(window, timezone);
      const open = layouts.get(text) ?? layoutOf(window, timezone);
      layouts.set(text, open);
      cohorts.set(key, { groups: [group], window: text, open, weekly: weeklyResets(group.schedule, window) });
    }
  }
  return [...cohorts.values()];
}

function layoutOf({ fromMinute, toMinute, days }: Window, timezone: string): Uint8Array {
  const open = new Uint8Array(weekMinutes);
  const offset = (readingAt(timezone, monday) - monday) / minuteMs;
  const length = lengthOf({ fromMinute, toMinute });
  for (const day of days) {
    const start = weekdays.indexOf(day) * dayMinutes + fromMinute - Math.round(offset) + weekMinutes;
    for (let minute = start; minute < start + length; minute++) open[minute % weekMinutes] = 1;
  }
  return open;
}

function lengthOf({ fromMinute, toMinute }: Pick<Window, 'fromMinute' | 'toMinute'>): number {
  return toMinute > fromMinute ? toMinute - fromMinute : toMinute + dayMinutes - fromMinute;
}

/** Four weeks of rotations show how often a window lets a group rotate. */
const shownWeeks = 4;

function weeklyResets(schedule: Schedule, window: Window): number {
  const periodMinutes = meanPeriodMs(schedule) / minuteMs;
  const mean = weekMinutes / periodMinutes;
  // So short a period fills every opening.
  if (periodMinutes < 10) return Math.min(mean, window.days.length * Math.ceil(lengthOf(window) / periodMinutes));
  const endMs = monday + shownWeeks * weekMinutes * minuteMs;
  let shown = 0;
  for (let at = slideIntoWindow(schedule, monday); at < endMs; at = nextDue(schedule, at)) shown += 1;
  // So few may fall into these weeks by chance.
  return shown < 2 * shownWeeks ? Math.min(mean, window.days.length) : Math.min(mean, shown / shownWeeks);
}

/** Times in which one or several windows are open. */
function candidates(layouts: readonly Uint8Array[]): Uint8Array[] {
  const union = (of: readonly Uint8Array[]) =>
    of.reduce((all, one) => all.map((minute, i) => minute | (one[i] ?? 0)), new Uint8Array(weekMinutes));
  if (layouts.length < 2) return [...layouts];
  const pairs = layouts.flatMap((one, i) => layouts.slice(i + 1).map((other) => [one, other]));
  return [...layouts, ...(layouts.length <= maxPaired ? pairs.map(union) : []), union(layouts)];
}

function isInside(inner: Uint8Array, outer: Uint8Array): boolean {
  return inner.every((minute, i) => minute <= (outer[i] ?? 0));
}

/** Each opening begins with the whole of `max`, if there was time to get it back. */
function weeklyAllowed(open: Uint8Array, { max, perMs }: Rate): number {
  const perMinutes = perMs / minuteMs;
  const steady = (max * weekMinutes) / perMinutes;
  const openings = openingsOf(open).reduce((sum, length) => sum + Math.ceil(length / perMinutes) * max, 0);
  return Math.min(openings, steady);
}

/** The lengths of the times in which it is open without interruption. The week is a circle. */
function openingsOf(open: Uint8Array): number[] {
  const start = open.indexOf(0) + 1;
  const lengths: number[] = [];
  let length = 0;
  for (let i = 0; i < open.length; i++) {
    if (open[(start + i) % open.length] === 1) length += 1;
    else if (length > 0) {
      lengths.push(length);
      length = 0;
    }
  }
  return length > 0 ? [...lengths, length] : lengths;
}
