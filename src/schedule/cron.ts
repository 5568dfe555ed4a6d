/**
 * Computes when a cron expression of five fields occurs in a time zone. Pure.
 *
 * cron-parser reads the expression and decides which days it names. The times are computed here, because cron-parser 5.10
 * is wrong around clock changes: it omits a daily time at a skipped midnight, repeats a time when asked within a repeated
 * hour, and throws on a change of half an hour. The rules are those of common cron daemons:
 * - An expression for every hour follows elapsed time: it occurs in both passes of a repeated hour.
 * - Any other expression names times of day, each once a day: in the first pass of a repeated hour. A skipped time occurs
 *   later by the length of the change (02:30 becomes 03:30).
 */
import type { CronExpression } from 'cron-parser';
import { cronParser } from '../packages.ts';
import { memoize } from './memoize.ts';
import { dayMs, midnightOf, minuteMs, momentOf, momentsOf, readingAt, steadyOffsetMs } from './wallClock.ts';

interface Pattern {
  /** The day, month and weekday, as text. */
  readonly days: string;
  readonly isHourly: boolean;
  /** Minutes since midnight, in order. */
  readonly timesOfDay: readonly number[];
}

const fieldNames = ['minute', 'hour', 'day', 'month', 'weekday'] as const;
const fieldRanges = ['0 to 59', '0 to 23', '1 to 31', '1 to 12 or JAN to DEC', '0 to 7 or SUN to SAT'] as const;

/** The longest time without a 29 February, plus a year. */
const searchDays = 9 * 366;
/** Weekdays and leap years repeat every 28 years (except across 1900 and 2100). */
const cycle = { fromMs: Date.UTC(2000, 0, 1), toMs: Date.UTC(2028, 0, 1) };

/** The first occurrence after a moment. Throws if `cronProblem` reports a problem. */
export function nextOccurrence(cron: string, timezone: string, afterMs: number): number {
  const next = occurrences(cron, timezone, afterMs).next();
  if (next.done) throw new Error(`"${cron}" never occurs`);
  return next.value;
}

/** All occurrences after a moment, in order. */
export function* occurrences(cron: string, timezone: string, afterMs: number): Generator<number, void> {
  const pattern = patternOf(cron);
  let last = afterMs;
  // Starts a day early: a clock change may move the latest times of that day past midnight.
  let midnight = midnightOf(readingAt(timezone, afterMs)) - dayMs;
  for (let idleDays = 0; idleDays <= searchDays; midnight += dayMs, idleDays++) {
    if (!namesDay(pattern.days, midnight)) continue;
    const moments = momentsOfDays(timezone)(cron)(midnight);
    for (let index = indexAfter(moments, last); index < moments.length; index++) {
      const moment = moments[index] ?? last;
      if (moment <= last) continue;
      last = moment;
      idleDays = 0;
      yield moment;
    }
  }
}

/** The mean time between occurrences over a whole cycle of the calendar, in milliseconds. */
export function meanInterval(cron: string): number {
  const { timesOfDay, days } = patternOf(cron);
  return dayMs / (timesOfDay.length * shareOfDays(days));
}

/** A search looks at two or three days. */
const maxDaysOfMoments = 4;
/** By zone, expression and day. Who follows a schedule asks for the same day once for each of its moments. */
const momentsOfDays = memoize((timezone) =>
  memoize((cron) => memoize((midnight: number) => momentsOn(patternOf(cron), timezone, midnight), maxDaysOfMoments)),
);

/** The moments of one day, in order. */
function momentsOn({ isHourly, timesOfDay }: Pattern, timezone: string, midnight: number): readonly number[] {
  const readings = timesOfDay.map((minute) => midnight + minute * minuteMs);
  const offset = steadyOffsetMs(timezone, midnight);
  if (offset !== null) return readings.map((reading) => reading - offset);
  return readings
    .flatMap((reading) => (isHourly ? momentsOf(timezone, reading) : [momentOf(timezone, reading)]))
    .sort((a, b) => a - b);
}

/** The index of the first moment after this one, by halving. */
function indexAfter(moments: readonly number[], afterMs: number): number {
  let [from, to] = [0, moments.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((moments[middle] ?? 0) <= afterMs) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** `days`: the day, month and weekday of an expression. */
function namesDay(days: string, midnight: number): boolean {
  const { months, includes } = daysOf(days);
  return months.has(new Date(midnight).getUTCMonth() + 1) && includes(midnight);
}

function isField(field: string, index: number): boolean {
  return !isRandom(field) && parses(fieldNames.map((_, other) => (other === index ? field : '*')).join(' '));
}

/** cron-parser replaces H with a random number. */
function isRandom(cron: string): boolean {
  return /(^|[\s,])h/i.test(cron);
}

function parses(cron: string): boolean {
  try {
    patternOf(cron);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with an expression; null if it is valid. */
export const cronProblem = memoize((cron): string | null => {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== fieldNames.length) {
    return `expected five fields (minute hour day month weekday), found ${fields[0] === '' ? 0 : fields.length}`;
  }
  const isValid = !isRandom(cron) && parses(cron);
  const wrong = isValid ? -1 : fields.findIndex((field, index) => !isField(field, index));
  if (wrong !== -1) {
    const text = fields[wrong]?.slice(0, 20);
    return `its ${fieldNames[wrong]} "${text}" is invalid: expected ${fieldRanges[wrong]}, *, a list (1,2), a range (1-5) or a step (*/2)`;
  }
  const isReal = isValid && !occurrences(cron, 'UTC', 0).next().done;
  return isReal ? null : 'it names a day that never occurs';
});

const patternOf = memoize((cron): Pattern => {
  const { hour, minute } = parse(cron).fields;
  return {
    days: cron.trim().split(/\s+/).slice(2).join(' '),
    isHourly: hour.values.length === 24,
    timesOfDay: hour.values.flatMap((h) => minute.values.map((m) => h * 60 + m)),
  };
});

/** More than `searchDays`. */
const maxDays = 5_000;

const daysOf = memoize((days) => {
  const expression = parse(`0 0 ${days}`);
  return {
    months: new Set<number>(expression.fields.month.values),
    includes: memoize((midnight: number) => expression.includesDate(new Date(midnight)), maxDays),
  };
});

/** The share of all days that an expression names, from 0 to 1. */
const shareOfDays = memoize((days): number => {
  let named = 0;
  for (let midnight = cycle.fromMs; midnight < cycle.toMs; midnight += dayMs) if (namesDay(days, midnight)) named++;
  return (named * dayMs) / (cycle.toMs - cycle.fromMs);
});

/** In UTC, so that it applies to the reading of any wall clock. */
function parse(cron: string): CronExpression {
  return cronParser().CronExpressionParser.parse(cron, { tz: 'UTC' });
}
