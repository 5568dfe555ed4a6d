/**
 * Cron expressions of five fields, through cron-parser, which gets summer time right: an hour that is skipped moves an
 * occurrence to the change, and an hour that comes twice holds a fixed time once, a repeating one in both.
 */
import { type CronExpression, CronExpressionParser } from 'cron-parser';

/** What is wrong with an expression; null: nothing. */
export function cronProblem(cron: string, timezone: string): string | null {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== 5) return `expected five fields (minute hour day month weekday), found ${fields.length}`;
  try {
    parse(cron, timezone, Date.UTC(2000, 0, 1)).next();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The first occurrence after a moment. */
export function nextOccurrence(cron: string, timezone: string, afterMs: number): number {
  return parse(cron, timezone, afterMs).next().getTime();
}

/** The mean time between occurrences, over the next `count` of them. */
export function meanInterval(cron: string, timezone: string, fromMs: number, count = 100): number {
  const occurrences = parse(cron, timezone, fromMs);
  const first = occurrences.next().getTime();
  let last = first;
  for (let i = 0; i < count; i++) last = occurrences.next().getTime();
  return (last - first) / count;
}

function parse(cron: string, timezone: string, afterMs: number): CronExpression {
  return CronExpressionParser.parse(cron, { currentDate: new Date(afterMs), tz: timezone });
}
