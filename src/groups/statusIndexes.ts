/**
 * The indexes that the status is read from: the groups of each instance by state, by the start of their link, and by the
 * time at which their link is two periods old. `store.ts` writes them in the same step as the record, and `recount.ts`
 * corrects them. They only count and list: what may be done to a group is decided by its record.
 */
import type { Keys } from '../redis/keys.ts';
import { nextDue, type Schedule } from '../schedule/schedule.ts';
import { type GroupRecord, isScheduled } from './record.ts';
import { indexedScore } from './states.ts';

/** The record's scores in these indexes, by the index's key. */
export function statusScores(record: GroupRecord, keys: Keys): ReadonlyMap<string, number> {
  const state = indexedScore(record);
  const entry = record.entry;
  if (state === null || entry === null) return new Map();
  const scores = new Map([[keys.states(entry.instance), state]]);
  if (record.rotatedAt !== null && isScheduled(record)) {
    scores.set(keys.linkStarts(entry.instance), record.rotatedAt);
    scores.set(keys.linkPeriods(entry.instance), record.rotatedAt + 2 * periodOf(entry.schedule, record.rotatedAt));
  }
  return scores;
}

/** The keys of an instance's indexes. */
export function statusKeys(keys: Keys, instance: string): string[] {
  return [keys.states(instance), keys.linkStarts(instance), keys.linkPeriods(instance)];
}

/** Evaluating a cron expression takes a tenth of a millisecond, and a link's period is asked for again and again. */
const periods = new Map<string, number>();
const maxPeriods = 5_000;

/** Time from the start of a link to the next scheduled rotation. */
export function periodOf(schedule: Schedule, fromMs: number): number {
  if (schedule.kind === 'every' && schedule.window === null) return schedule.everyMs;
  const key = `${fromMs} ${JSON.stringify(schedule)}`;
  const known = periods.get(key);
  if (known !== undefined) return known;
  if (periods.size >= maxPeriods) periods.clear();
  const periodMs = nextDue(schedule, fromMs) - fromMs;
  periods.set(key, periodMs);
  return periodMs;
}
