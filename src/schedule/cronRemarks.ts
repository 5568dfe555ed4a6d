/** What a cron expression does that its author probably did not mean. Pure. */
import { meanInterval } from './cron.ts';

const dayMs = 86_400_000;

/** Fields in which a step does not go on from one round to the next, with the length of a round and a unit. */
const rounds = [
  { field: 'minute', index: 0, from: 0, length: 60, round: 'hour', unit: 'm' },
  { field: 'hour', index: 1, from: 0, length: 24, round: 'day', unit: 'h' },
  { field: 'day', index: 2, from: 1, length: 31, round: 'month', unit: 'd' },
  { field: 'month', index: 3, from: 1, length: 12, round: 'year', unit: null },
  { field: 'weekday', index: 4, from: 0, length: 7, round: 'week', unit: 'd' },
] as const;

/** One text for each remark. The expression must be valid. */
export function cronRemarks(cron: string): string[] {
  const fields = cron.trim().split(/\s+/);
  const [minute = '*', hour = '*', day = '*', month = '*', weekday = '*'] = fields;
  const remarks: string[] = [];
  if (isRestricted(day) && isRestricted(weekday)) {
    remarks.push(
      `is due on the days ${day} of the month and on the weekdays ${weekday} as well: cron takes either, not both; set one of the two to *`,
    );
  }
  for (const round of rounds) {
    // Within one hour a day, the next round is far away anyway.
    if (round.field === 'minute' && /^\d+$/.test(hour)) continue;
    const step = /^\*\/(\d+)$/.exec(fields[round.index] ?? '')?.[1];
    if (step !== undefined) remarks.push(...stepRemark(round, Number(step)));
  }
  if (/^(29|30|31)$/.test(day) && !isRestricted(month) && !isRestricted(weekday)) {
    remarks.push(`is left out in months without a day ${day}`);
  }
  const mean = meanInterval(cron);
  if (mean > 367 * dayMs) remarks.push(`is due once in ${Math.round(mean / (365.25 * dayMs))} years on average`);
  if (mean <= 60_000) remarks.push('is due every minute: a link is dead before most people have used it');
  else if (everyMinute.test(minute)) remarks.push(everyMinuteRemark(minute, [hour, day, month, weekday]));
  return remarks;
}

const everyMinute = /^(\*|\?|0-59)(\/1)?$/;

/** A forgotten minute: "* 9 * * *" instead of "0 9 * * *". */
function everyMinuteRemark(minute: string, others: readonly string[]): string {
  const once = ['0', ...others].join(' ');
  return `${minute} in the minute means 60 rotations in each hour that the other fields name; use "${once}" for one`;
}

/** For cron-parser, a step restricts a field too. */
function isRestricted(field: string): boolean {
  return field !== '*' && field !== '?';
}

function stepRemark({ field, from, length, round, unit }: (typeof rounds)[number], step: number): string[] {
  // Months have different lengths, so only a daily step is even.
  const isEven = field === 'day' ? step === 1 : length % step === 0;
  if (isEven) return [];
  const values = Array.from({ length: Math.ceil(length / step) }, (_, i) => from + i * step);
  const shown = values.length > 5 ? [...values.slice(0, 3), '…', values.at(-1)] : values;
  const instead = unit === null ? '' : `; use "every: ${step}${unit}" for even gaps`;
  return [
    `*/${step} in the ${field} means ${shown.join(', ')} of each ${round}, and begins again with the next one${instead}`,
  ];
}
