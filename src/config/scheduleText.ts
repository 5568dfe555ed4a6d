/** Schedules and windows as people read them. */
import type { Schedule } from '../schedule/schedule.ts';
import { type Weekday, type Window, weekdays } from '../schedule/window.ts';
import { formatDuration } from './duration.ts';

/** `every 7d`, or `cron 0 9 * * MON, 02:00-05:00 mon-fri (Europe/Berlin)`. */
export function scheduleText(schedule: Schedule): string {
  const { window, timezone } = schedule;
  const when = schedule.kind === 'every' ? `every ${formatDuration(schedule.everyMs)}` : `cron ${schedule.cron}`;
  if (window !== null) return `${when}, ${windowText(window, timezone)}`;
  return schedule.kind === 'cron' ? `${when} (${timezone})` : when;
}

export function windowText({ fromMinute, toMinute, days }: Window, timezone: string): string {
  return `${clock(fromMinute)}-${clock(toMinute)}${daysText(days)} (${timezone})`;
}

/** ` mon-fri`, ` mon,wed`, or nothing for every day. */
function daysText(days: readonly Weekday[]): string {
  if (days.length === weekdays.length) return '';
  const indexes = weekdays.flatMap((day, index) => (days.includes(day) ? [index] : []));
  const [first = 0] = indexes;
  const isRange = indexes.length > 2 && indexes.every((index, place) => index === first + place);
  if (isRange) return ` ${weekdays[first]}-${weekdays[first + indexes.length - 1]}`;
  return ` ${indexes.map((index) => weekdays[index]).join(',')}`;
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}

/** By object, because groups with the same schedule share it. */
const keys = new WeakMap<Schedule, string>();

/** The same for equal schedules. */
export function scheduleKey(schedule: Schedule): string {
  const key = keys.get(schedule) ?? JSON.stringify(schedule);
  keys.set(schedule, key);
  return key;
}
