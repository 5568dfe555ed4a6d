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
import { scheduleKey, windowText } from './scheduleText.ts';

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
  readonly layout: Layout;
  readonly schedule: Schedule;
}

/** The minutes of a week in which windows are open, in order, apart from each other; `to` is exclusive. */
type Layout = readonly Opening[];

interface Opening {
  readonly from: number;
  readonly to: number;
}

/** Those windows in which the limit is exceeded most; null if it is not exceeded. */
export function exceededWindows(groups: readonly GroupConfig[], rate: Rate): WindowDemand | null {
  const cohorts = cohortsOf(groups);
  const startingIn = countStarts(cohorts);
  let worst: WindowDemand | null = null;
  for (const open of candidates([...new Set(cohorts.map(({ layout }) => layout))])) {
    const allowed = weeklyAllowed(open, rate) * (1 + 1e-9);
    // Bounds from above that are fast to compute: by where windows begin, then by mean periods.
    if (startingIn(open) <= allowed) continue;
    const inside = cohorts.filter((cohort) => isInside(cohort.layout, open));
    if (sumOf(inside, meanWeekly) <= allowed) continue;
    const asked = sumOf(inside, weeklyResets);
    if (asked <= allowed) continue;
    const openMinutes = open.reduce((sum, { from, to }) => sum + to - from, 0);
    const demand = {
      groups: inside.flatMap((cohort) => cohort.groups),
      windows: [...new Set(inside.map(({ window }) => window))],
      openMinutes,
      asked: asked / openMinutes,
      allowed: weeklyAllowed(open, rate) / openMinutes,
    };
    if (worst === null || demand.asked / demand.allowed > worst.asked / worst.allowed) worst = demand;
  }
  return worst;
}

function sumOf(cohorts: readonly Cohort[], weekly: (schedule: Schedule) => number): number {
  return cohorts.reduce((sum, { schedule, groups }) => sum + weekly(schedule) * groups.length, 0);
}

/** Resets a week that those windows ask for whose first opening begins in a layout, and perhaps a little more. */
function countStarts(cohorts: readonly Cohort[]): (layout: Layout) => number {
  const before = new Float64Array(weekMinutes + 1);
  for (const { layout, schedule, groups } of cohorts) {
    const minute = (layout[0]?.from ?? 0) + 1;
    before[minute] = (before[minute] ?? 0) + meanWeekly(schedule) * groups.length * (1 + 1e-9);
  }
  for (let minute = 1; minute <= weekMinutes; minute++)
    before[minute] = (before[minute] ?? 0) + (before[minute - 1] ?? 0);
  return (layout) => layout.reduce((sum, { from, to }) => sum + (before[to] ?? 0) - (before[from] ?? 0), 0);
}

function cohortsOf(groups: readonly GroupConfig[]): Cohort[] {
  const cohorts = new Map<string, Cohort>();
  const layouts = new Map<string, Layout>();
  for (const group of groups) {
    const { window, timezone } = group.schedule;
    if (!group.enabled || window === null) continue;
    const key = scheduleKey(group.schedule);
    const known = cohorts.get(key);
    if (known !== undefined) known.groups.push(group);
    else {
      const text = windowText(window, timezone);
      const layout = layouts.get(text) ?? layoutOf(window, timezone);
      layouts.set(text, layout);
      cohorts.set(key, { groups: [group], window: text, layout, schedule: group.schedule });
    }
  }
  return [...cohorts.values()];
}

function layoutOf({ fromMinute, toMinute, days }: Window, timezone: string): Layout {
  const offset = (readingAt(timezone, monday) - monday) / minuteMs;
  const length = lengthOf({ fromMinute, toMinute });
  return merge(
    days.flatMap((day) => {
      const minute = weekdays.indexOf(day) * dayMinutes + fromMinute - Math.round(offset) + weekMinutes;
      const from = minute % weekMinutes;
      const to = from + length;
      // The week is a circle.
      if (to <= weekMinutes) return [{ from, to }];
      return [
        { from, to: weekMinutes },
        { from: 0, to: to - weekMinutes },
      ];
    }),
  );
}

/** In order, those that overlap or touch as one. */
function merge(openings: readonly Opening[]): Layout {
  const merged: { readonly from: number; to: number }[] = [];
  for (const { from, to } of openings.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last === undefined || from > last.to) merged.push({ from, to });
    else last.to = Math.max(last.to, to);
  }
  return merged;
}

function lengthOf({ fromMinute, toMinute }: Pick<Window, 'fromMinute' | 'toMinute'>): number {
  return toMinute > fromMinute ? toMinute - fromMinute : toMinute + dayMinutes - fromMinute;
}

/** So many weeks of rotations show how often a window lets a group rotate; more if there are few in them. */
const shownWeeks = { few: 4, many: 52 };
/** Fewer may fall into those weeks by chance. */
const minShown = 8;

/** Resets a week that a schedule asks for; its window may allow fewer. */
function meanWeekly(schedule: Schedule): number {
  return (weekMinutes * minuteMs) / meanPeriodMs(schedule);
}

const weeklyOf = new WeakMap<Schedule, number>();

/** Resets a week that a schedule with a window needs. */
function weeklyResets(schedule: Schedule): number {
  const weekly = weeklyOf.get(schedule) ?? countWeekly(schedule);
  weeklyOf.set(schedule, weekly);
  return weekly;
}

function countWeekly(schedule: Schedule): number {
  const mean = meanWeekly(schedule);
  const { window } = schedule;
  if (window === null) return mean;
  const periodMinutes = weekMinutes / mean;
  // So short a period fills every opening.
  if (periodMinutes < 10) return Math.min(mean, window.days.length * Math.ceil(lengthOf(window) / periodMinutes));
  const few = countIn(schedule, shownWeeks.few);
  if (few >= minShown) return Math.min(mean, few / shownWeeks.few);
  return Math.min(mean, countIn(schedule, shownWeeks.many) / shownWeeks.many);
}

/** Rotations in that many weeks. */
function countIn(schedule: Schedule, weeks: number): number {
  const endMs = monday + weeks * weekMinutes * minuteMs;
  let count = 0;
  for (let at = slideIntoWindow(schedule, monday); at < endMs; at = nextDue(schedule, at)) count += 1;
  return count;
}

/** Times in which one or several windows are open. */
function candidates(layouts: readonly Layout[]): Layout[] {
  if (layouts.length < 2) return [...layouts];
  const paired = layouts.length <= maxPaired ? layouts : [];
  const pairs = paired.flatMap((one, i) => paired.slice(i + 1).map((other) => merge([...one, ...other])));
  return [...layouts, ...pairs, merge(layouts.flat())];
}

function isInside(inner: Layout, outer: Layout): boolean {
  return inner.every(({ from, to }) => outer.some((opening) => opening.from <= from && opening.to >= to));
}

/** Each opening begins with the whole of `max`, if there was time to get it back. */
function weeklyAllowed(open: Layout, { max, perMs }: Rate): number {
  const perMinutes = perMs / minuteMs;
  const steady = (max * weekMinutes) / perMinutes;
  const openings = lengthsOf(open).reduce((sum, length) => sum + Math.ceil(length / perMinutes) * max, 0);
  return Math.min(openings, steady);
}

/** How long it is open without interruption. The week is a circle. */
function lengthsOf(open: Layout): number[] {
  const lengths = open.map(({ from, to }) => to - from);
  const goesOn = open.length > 1 && open[0]?.from === 0 && open.at(-1)?.to === weekMinutes;
  if (goesOn) lengths[0] = (lengths[0] ?? 0) + (lengths.pop() ?? 0);
  return lengths;
}
