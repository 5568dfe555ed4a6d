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
  readonly layout: Layout;
  readonly schedule: Schedule;
}

interface Layout {
  /** For each minute of the week, 1 if the window is open. */
  readonly open: Uint8Array;
  /** The first and the last minute of each opening. */
  readonly edges: readonly number[];
}

/** Those windows in which the limit is exceeded most; null if it is not exceeded. */
export function exceededWindows(groups: readonly GroupConfig[], rate: Rate): WindowDemand | null {
  const cohorts = cohortsOf(groups);
  let worst: WindowDemand | null = null;
  for (const open of candidates([...new Set(cohorts.map(({ layout }) => layout.open))])) {
    const inside = cohorts.filter((cohort) => isInside(cohort.layout, open));
    const allowed = weeklyAllowed(open, rate) * (1 + 1e-9);
    // Without regard to windows first, because that is fast.
    if (sumOf(inside, meanWeekly) <= allowed) continue;
    const asked = sumOf(inside, weeklyResets);
    if (asked <= allowed) continue;
    const openMinutes = open.reduce((sum, minute) => sum + minute, 0);
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

function cohortsOf(groups: readonly GroupConfig[]): Cohort[] {
  const cohorts = new Map<string, Cohort>();
  const layouts = new Map<string, Layout>();
  for (const group of groups) {
    const { window, timezone } = group.schedule;
    if (!group.enabled || window === null) continue;
    const key = JSON.stringify(group.schedule);
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
  const open = new Uint8Array(weekMinutes);
  const edges: number[] = [];
  const offset = (readingAt(timezone, monday) - monday) / minuteMs;
  const length = lengthOf({ fromMinute, toMinute });
  for (const day of days) {
    const start = weekdays.indexOf(day) * dayMinutes + fromMinute - Math.round(offset) + weekMinutes;
    for (let minute = start; minute < start + length; minute++) open[minute % weekMinutes] = 1;
    edges.push(start % weekMinutes, (start + length - 1) % weekMinutes);
  }
  return { open, edges };
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
function candidates(layouts: readonly Uint8Array[]): Uint8Array[] {
  const union = (of: readonly Uint8Array[]) =>
    of.reduce((all, one) => all.map((minute, i) => minute | (one[i] ?? 0)), new Uint8Array(weekMinutes));
  if (layouts.length < 2) return [...layouts];
  const pairs = layouts.flatMap((one, i) => layouts.slice(i + 1).map((other) => [one, other]));
  return [...layouts, ...(layouts.length <= maxPaired ? pairs.map(union) : []), union(layouts)];
}

/** The edges first: of many windows, most are ruled out by them. */
function isInside({ open, edges }: Layout, outer: Uint8Array): boolean {
  if (edges.some((minute) => outer[minute] !== 1)) return false;
  return open.every((minute, i) => minute <= (outer[i] ?? 0));
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
