/** What the configuration in force says of a group, in the terms of the rotation, the store and the planner. */
import type { Config, GroupConfig } from '../config/config.ts';
import type { GroupPlace } from '../groups/store.ts';
import { type GroupRules, verificationAt } from '../rotation/attempt.ts';
import { meanPeriodMs, nextDue } from '../schedule/schedule.ts';

export function rulesOf(config: Config, group: GroupConfig): GroupRules {
  return {
    group: group.id,
    instance: group.instance,
    nextDue: (afterMs) => (group.enabled ? nextDue(group.schedule, afterMs) : null),
    periodMs: periodOf(group),
    verifyEveryMs: group.enabled ? (config.verify?.everyMs ?? null) : null,
    settleTimeMs: config.api.settleTimeMs,
  };
}

export function placeOf(config: Config, group: GroupConfig): GroupPlace {
  const rules = rulesOf(config, group);
  return {
    id: group.id,
    instance: group.instance,
    queues: config.results.queues,
    verificationAt: (record) => verificationAt(record, rules),
  };
}

/** A cron schedule's mean is worked out once for each group: it walks through its occurrences. */
const periods = new WeakMap<GroupConfig, number>();

function periodOf(group: GroupConfig): number {
  let period = periods.get(group);
  if (period === undefined) {
    period = meanPeriodMs(group.schedule, Date.now());
    periods.set(group, period);
  }
  return period;
}
