/**
 * The planner's indexes: when it looks at each record next. They are written in the same step as the record, and so is
 * the first time of each, by which the planner knows the instances with something to do. Pure.
 */
import type { Keys } from '../redis/keys.ts';
import { type GroupRecord, nextDueAt, settleAt, verifyAt } from './record.ts';

/** An index that a write changes. `save.lua` stores its first time, by instance, in `firsts`. */
export type ChangedIndex = [firsts: string, index: string, instance: string];

/** An instance's indexes. */
export function plannerIndexes(instance: string, keys: Keys): ChangedIndex[] {
  return [
    [keys.firstDue, keys.due(instance), instance],
    [keys.firstVerification, keys.verifications(instance), instance],
  ];
}

/** The record's times, by the index's key. */
export function indexTimes(record: GroupRecord, keys: Keys): ReadonlyMap<string, number> {
  const instance = record.entry?.instance;
  if (instance === undefined) return new Map();
  const times = [
    [keys.due(instance), nextDueAt(record)],
    [keys.verifications(instance), verifyAt(record)],
    [keys.unsettled, settleAt(record)],
  ] as const;
  return new Map(times.flatMap(([index, atMs]) => (atMs === null ? [] : [[index, atMs]])));
}
