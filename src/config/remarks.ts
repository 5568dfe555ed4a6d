/**
 * Remarks on a valid file: schedules that are probably not meant, and work that takes longer than one would expect. Each
 * names the groups or the instance that it is about. Pure.
 */
import { groupBy } from '../groupBy.ts';
import { occurrences } from '../schedule/cron.ts';
import { cronRemarks } from '../schedule/cronRemarks.ts';
import { nextDue, type Schedule, slideIntoWindow } from '../schedule/schedule.ts';
import { dayMs, midnightOf, readingAt } from '../schedule/wallClock.ts';
import { isOpen, isSkippedOn, type Window } from '../schedule/window.ts';
import type { Config, GroupConfig } from './config.ts';
import { type Demand, demands, formatRate } from './demand.ts';
import { formatDuration, formatDurationLong, formatDurationUp } from './duration.ts';
import { scheduleKey, scheduleText, windowText } from './scheduleText.ts';
import { verificationOf } from './verification.ts';

export interface Remark {
  readonly about: 'groups' | 'instance' | 'include';
  /** The instance, the pattern, or the first of the groups. */
  readonly names: readonly string[];
  /** How many groups it is about; 1 for an instance or a pattern. */
  readonly count: number;
  readonly message: string;
}

/** Groups named in one remark. */
const maxNamed = 5;

export function remarksOf(
  config: Pick<Config, 'included' | 'instances' | 'groups' | 'verify'>,
  nowMs: number,
): Remark[] {
  const onGroups = new Map<string, { names: string[]; count: number }>();
  for (const groups of bySchedule(config.groups).values()) {
    const [first] = groups;
    for (const message of first === undefined ? [] : scheduleRemarks(first.schedule, nowMs)) {
      const { names, count } = onGroups.get(message) ?? { names: [], count: 0 };
      const named = [...names, ...groups.map(({ id }) => id)].slice(0, maxNamed);
      onGroups.set(message, { names: named, count: count + groups.length });
    }
  }
  const onInstances = demands(config).flatMap((demand) => {
    const messages = [...crowds(demand), ...verificationRemark(demand, config.verify)];
    const names = [demand.instances.map(({ name }) => name).join(', ')];
    return messages.map((message) => ({ about: 'instance', names, count: 1, message }) as const);
  });
  const onPatterns = config.included.flatMap(({ pattern, files }) =>
    files === 0 ? [{ about: 'include', names: [pattern], count: 1, message: 'no file has such a name' } as const] : [],
  );
  return [
    ...onPatterns,
    ...[...onGroups].map(([message, of]) => ({ about: 'groups', ...of, message }) as const),
    ...onInstances,
  ];
}

function bySchedule(groups: readonly GroupConfig[]): Map<string, GroupConfig[]> {
  return groupBy(
    groups.filter(({ enabled }) => enabled),
    ({ schedule }) => scheduleKey(schedule),
  );
}

export function scheduleRemarks(schedule: Schedule, nowMs: number): string[] {
  const { window, timezone } = schedule;
  const onCron = schedule.kind === 'cron' ? cronRemarks(schedule.cron).map((text) => `${schedule.cron}: ${text}`) : [];
  if (window === null) return onCron;
  const own =
    schedule.kind === 'cron' ? cronInWindow(schedule.cron, schedule, window, nowMs) : everyInWindow(schedule, nowMs);
  return [...onCron, ...own, ...skippedWindow(window, timezone, nowMs)];
}

/** Contains every combination of weekly and monthly times. */
const searchDays = 366;

function cronInWindow(cron: string, { timezone }: Schedule, window: Window, nowMs: number): string[] {
  for (const at of occurrences(cron, timezone, nowMs)) {
    if (isOpen(window, timezone, at)) return [];
    if (at > nowMs + searchDays * dayMs) break;
  }
  const text = windowText(window, timezone);
  return [`${cron} is never inside its window ${text}: each rotation waits until the window opens`];
}

/** Rotations whose mean distance is compared with the period. */
const rotationsShown = 20;

function everyInWindow(schedule: Schedule, nowMs: number): string[] {
  if (schedule.kind !== 'every' || schedule.window === null) return [];
  const { everyMs, window, timezone } = schedule;
  const minutes = (window.toMinute - window.fromMinute + 1_440) % 1_440 || 1_440;
  if (everyMs <= minutes * 60_000) return [];
  const first = slideIntoWindow(schedule, nowMs);
  let at = first;
  for (let i = 0; i < rotationsShown; i++) at = nextDue(schedule, at);
  const meanMs = (at - first) / rotationsShown;
  if (meanMs < 1.5 * everyMs) return [];
  const mean = formatDuration(Math.max(Math.round(meanMs / 3_600_000), 1) * 3_600_000);
  return [
    `every ${formatDuration(everyMs)} is shorter than its window ${windowText(window, timezone)} allows: rotations come every ${mean} on average`,
  ];
}

function skippedWindow(window: Window, timezone: string, nowMs: number): string[] {
  for (const midnight of changeDays(timezone, nowMs)) {
    if (!isSkippedOn(window, timezone, midnight)) continue;
    const date = new Date(midnight).toISOString().slice(0, 10);
    return [`on ${date} a clock change skips the window ${windowText(window, timezone)}: it does not open on that day`];
  }
  return [];
}

/** Shorter than the time between two clock changes. */
const strideDays = 14;

/** The midnights of the days around clock changes in the coming year. */
function changeDays(timezone: string, nowMs: number): number[] {
  const today = midnightOf(readingAt(timezone, nowMs));
  const offsetOn = (day: number) => readingAt(timezone, today + day * dayMs) - (today + day * dayMs);
  const days: number[] = [];
  for (let day = 0; day < searchDays; day += strideDays) {
    if (offsetOn(day - 1) === offsetOn(day + strideDays)) continue;
    for (let one = day; one < day + strideDays; one++) days.push(today + one * dayMs);
  }
  return days;
}

/** Cron schedules that make more groups due in one minute than the limit serves in it. */
function crowds({ instances, tightest, groups, allowed }: Demand): string[] {
  const { max, reserve, perMs } = tightest.rateLimit;
  return [...bySchedule(groups).values()].flatMap((crowd) => {
    const [first] = crowd;
    if (first?.schedule.kind !== 'cron') return [];
    const paceMs = instances.find(({ name }) => name === first.instance)?.paceMs ?? 0;
    const atLimitMs = Math.floor((crowd.length - 1) / (max - reserve)) * perMs;
    const lastWaitsMs = Math.max(atLimitMs, (crowd.length - 1) * paceMs);
    if (lastWaitsMs < 60_000) return [];
    const rate =
      lastWaitsMs > atLimitMs ? `a pace of ${formatDuration(paceMs)}` : `${formatRate(allowed)} calls a minute`;
    return [
      `${crowd.length} groups are due in the same minute (${scheduleText(first.schedule)}): at ${rate} the last waits ${formatDurationUp(lastWaitsMs)}; spread the times`,
    ];
  });
}

function verificationRemark(demand: Demand, verify: Config['verify']): string[] {
  const verification = verificationOf(demand, verify);
  if (!verification?.isStretched) return [];
  const { groups, readsPerMinute, everyMs } = verification;
  const named = groups === 1 ? '1 group' : `${groups} groups`;
  return [
    `verified every ${formatDurationLong(everyMs)}: ${named} at ${Number(readsPerMinute.toFixed(2))} reads a minute`,
  ];
}
