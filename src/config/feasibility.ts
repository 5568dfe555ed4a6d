/**
 * Whether the file asks for more than its tokens can give: calls a minute, on average, against each token's share (its
 * limit less what is kept for one-offs), and against each instance's pace. Pure.
 */
import { meanPeriodMs } from '../schedule/schedule.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { formatDuration } from './duration.ts';
import type { Finding } from './problem.ts';

export interface Demand {
  /** Instances that share one token, as far as the file shows. */
  readonly instances: readonly InstanceConfig[];
  readonly groups: readonly GroupConfig[];
  /** Resets a minute that their groups ask for, on average. */
  readonly asked: number;
  /** Calls a minute that scheduled work may make. */
  readonly allowed: number;
}

/** One entry a token, in the order of the file. */
export function demands(config: Config): Demand[] {
  const byToken = new Map<string, InstanceConfig[]>();
  for (const instance of config.instances) {
    const source = instance.token.from === 'env' ? `env ${instance.token.variable}` : `file ${instance.token.path}`;
    byToken.set(source, [...(byToken.get(source) ?? []), instance]);
  }
  return [...byToken.values()].map((instances) => {
    const names = new Set(instances.map(({ name }) => name));
    const groups = config.groups.filter(({ instance }) => names.has(instance));
    const shares = instances.map(({ rateLimit: { max, perMs, reserve } }) => ((max - reserve) * 60_000) / perMs);
    return { instances, groups, asked: askedPerMinute(groups), allowed: Math.min(...shares) };
  });
}

export function askedPerMinute(groups: readonly GroupConfig[]): number {
  const now = Date.now();
  const rates = new Map<string, number>();
  let sum = 0;
  for (const { schedule, enabled } of groups) {
    if (!enabled) continue;
    const key = schedule.kind === 'every' ? String(schedule.everyMs) : `${schedule.cron} ${schedule.timezone}`;
    let rate = rates.get(key);
    if (rate === undefined) {
      rate = 60_000 / meanPeriodMs(schedule, now);
      rates.set(key, rate);
    }
    sum += rate;
  }
  return sum;
}

export function checkFeasibility(config: Config): Finding[] {
  const findings: Finding[] = [];
  const indexOf = (instance: InstanceConfig) => config.instances.indexOf(instance);
  for (const { instances, groups, asked, allowed } of demands(config)) {
    const [first] = instances;
    if (first === undefined) continue;
    if (asked > allowed) {
      const { max, reserve, perMs } = first.rateLimit;
      const names = instances.map(({ name }) => name).join(', ');
      const count = groups.filter(({ enabled }) => enabled).length;
      findings.push({
        path: ['instances', indexOf(first)],
        message:
          `${names}: ${count} groups ask for ${rate(asked)} calls a minute, the share for scheduled work is ` +
          `${rate(allowed)} (${max} less ${reserve} in reserve, per ${formatDuration(perMs)}): ` +
          `make the periods ${(asked / allowed).toFixed(2)} times as long, or ask for a higher limit`,
      });
    }
    for (const instance of instances) {
      if (instance.paceMs === 0) continue;
      const own = askedPerMinute(groups.filter(({ instance: name }) => name === instance.name));
      if (own * instance.paceMs <= 60_000) continue;
      findings.push({
        path: ['instances', indexOf(instance), 'pace'],
        message:
          `${instance.name}: its groups ask for ${rate(own)} resets a minute, a pace of ` +
          `${formatDuration(instance.paceMs)} allows ${rate(60_000 / instance.paceMs)}`,
      });
    }
  }
  return findings;
}

/** Calls a minute, with as many digits as tell them apart. */
export function rate(perMinute: number): string {
  return perMinute === 0 ? '0' : perMinute >= 10 ? perMinute.toFixed(1) : perMinute.toPrecision(2);
}
