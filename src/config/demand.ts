/**
 * Compares what a file needs with what its tokens allow: calls a minute, on average, against each token's share (its
 * limit less the reserve for one-offs), and against each instance's pace; then the same inside the groups' windows. Pure.
 */
import { groupBy } from '../groupBy.ts';
import { meanPeriodMs } from '../schedule/schedule.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { formatDuration, formatDurationUp } from './duration.ts';
import type { Report } from './values.ts';
import { exceededWindows, type Rate, type WindowDemand } from './windowDemand.ts';

export interface Demand {
  /** Instances that share one token, as far as the file shows. */
  readonly instances: readonly InstanceConfig[];
  /** The one with the smallest share. */
  readonly tightest: InstanceConfig;
  readonly groups: readonly GroupConfig[];
  /** Resets a minute that the groups need, on average. */
  readonly asked: number;
  /** Calls a minute that scheduled work may make: the share of `tightest`. */
  readonly allowed: number;
}

/** One entry for each token, in the order of the file. */
export function demands({ instances, groups }: Pick<Config, 'instances' | 'groups'>): Demand[] {
  const byToken = groupBy(instances, ({ token }) => JSON.stringify(token));
  const tokenOf = new Map([...byToken].flatMap(([token, sharing]) => sharing.map(({ name }) => [name, token])));
  const served = groupBy(groups, ({ instance }) => tokenOf.get(instance));
  return [...byToken].map(([token, sharing]) => {
    const own = served.get(token) ?? [];
    const tightest = sharing.reduce((least, one) => (shareOf(one) < shareOf(least) ? one : least));
    return { instances: sharing, tightest, groups: own, asked: askedPerMinute(own), allowed: shareOf(tightest) };
  });
}

/** Resets a minute that the enabled groups need, on average. */
export function askedPerMinute(groups: readonly GroupConfig[]): number {
  const count = new Map<number, number>();
  for (const { schedule, enabled } of groups) {
    if (!enabled) continue;
    const period = meanPeriodMs(schedule);
    count.set(period, (count.get(period) ?? 0) + 1);
  }
  // Summed by period, so that rounding errors do not turn many groups that just fit into too many.
  return [...count].reduce((sum, [period, groups]) => sum + (groups * 60_000) / period, 0);
}

/** `instances`: the valid ones, by their index in the file. `groups`: the valid ones. */
export function checkDemand(
  instances: ReadonlyMap<number, InstanceConfig>,
  groups: readonly GroupConfig[],
  report: Report,
): void {
  const indexOf = new Map([...instances].map(([index, { name }]) => [name, index]));
  const enabledOf = groupBy(
    groups.filter(({ enabled }) => enabled),
    ({ instance }) => instance,
  );
  const pathOf = ({ name }: InstanceConfig) => ['instances', indexOf.get(name) ?? 0] as const;
  for (const demand of demands({ instances: [...instances.values()], groups })) {
    const [first = demand.tightest] = demand.instances;
    const exceeded = exceeds(demand.asked, demand.allowed);
    const windows = exceeded ? null : exceededWindows(demand.groups, shareRate(demand.tightest));
    if (exceeded) report(pathOf(first), shareMessage(demand));
    if (windows !== null) report(pathOf(first), windowMessage(demand, windows));
    for (const instance of demand.instances) {
      if (instance.paceMs === 0) continue;
      const own = enabledOf.get(instance.name) ?? [];
      const asked = askedPerMinute(own);
      const allowed = 60_000 / instance.paceMs;
      const path = [...pathOf(instance), 'pace'];
      if (exceeds(asked, allowed)) report(path, paceMessage(instance, own, asked, allowed));
      // The share is the smaller limit in these windows, and has been reported.
      else if (windows === null) {
        const paced = exceededWindows(own, { max: 1, perMs: instance.paceMs });
        if (paced !== null) report(path, pacedWindowMessage(instance, paced));
      }
    }
  }
}

function shareMessage({ instances, tightest, groups, asked, allowed }: Demand): string {
  const enabled = groups.filter((group) => group.enabled);
  const names = instances.map(({ name }) => name).join(', ');
  const [askedText, allowedText] = formatDistinct(asked, allowed);
  return (
    `${names}: ${groupsNeed(enabled)} ${askedText} calls a minute; the share for scheduled work is ${allowedText} ` +
    `${shareText(tightest)}: ${remedy(enabled, asked / allowed)}, or ask for a higher limit`
  );
}

function windowMessage({ instances, tightest }: Demand, windows: WindowDemand): string {
  const names = instances.map(({ name }) => name).join(', ');
  const [, allowed] = formatDistinct(windows.asked, windows.allowed);
  return (
    `${names}: ${windowNeeds(windows, 'calls')}; the share for scheduled work is ${allowed} ${shareText(tightest)}: ` +
    `${windowRemedy(windows)}, or ask for a higher limit`
  );
}

function pacedWindowMessage({ name, paceMs }: InstanceConfig, windows: WindowDemand): string {
  const [, allowed] = formatDistinct(windows.asked, windows.allowed);
  return (
    `${name}: ${windowNeeds(windows, 'resets')}; a pace of ${formatDuration(paceMs)} allows ${allowed}: ` +
    `${windowRemedy(windows)}, or shorten the pace`
  );
}

/** Windows named in a message. */
const maxNamed = 3;

function windowNeeds({ groups, windows, openMinutes, asked, allowed }: WindowDemand, calls: string): string {
  const named = windows.slice(0, maxNamed).join(', ');
  const where = windows.length > maxNamed ? `${named} and ${windows.length - maxNamed} more windows` : named;
  const [askedText] = formatDistinct(asked, allowed);
  const week = `${formatNumber(Math.ceil(asked * openMinutes - 1e-6))} in ${formatDuration(openMinutes * 60_000)} a week`;
  return `inside ${where}, ${groupsNeed(groups)} ${askedText} ${calls} a minute (${week})`;
}

function windowRemedy({ groups, windows, asked, allowed }: WindowDemand): string {
  const factor = (Math.ceil((asked / allowed) * 100) / 100).toFixed(2);
  const window = windows.length === 1 ? 'make the window' : 'make the windows';
  const period = groups.some(({ schedule }) => schedule.kind === 'cron') ? 'use longer periods' : 'raise "every"';
  return `${window} at least ${factor} times as long, use windows at different times, ${period}`;
}

function paceMessage({ name, paceMs }: InstanceConfig, groups: GroupConfig[], asked: number, allowed: number): string {
  const [askedText, allowedText] = formatDistinct(asked, allowed);
  return (
    `${name}: ${groupsNeed(groups)} ${askedText} resets a minute; a pace of ${formatDuration(paceMs)} allows ` +
    `${allowedText}: ${remedy(groups, asked / allowed)}`
  );
}

/** Longer periods; how long, if all groups have the same period. */
function remedy(groups: readonly GroupConfig[], factor: number): string {
  const periods = new Set(groups.map(({ schedule }) => (schedule.kind === 'every' ? schedule.everyMs : null)));
  const [same] = periods;
  if (periods.size === 1 && typeof same === 'number') {
    return `raise "every" from ${formatDuration(same)} to at least ${formatDurationUp(same * factor)}`;
  }
  return `make the periods at least ${(Math.ceil(factor * 100) / 100).toFixed(2)} times as long`;
}

/** Calls a minute. */
function shareOf(instance: InstanceConfig): number {
  const { max, perMs } = shareRate(instance);
  return (max * 60_000) / perMs;
}

function shareRate({ rateLimit: { max, perMs, reserve } }: InstanceConfig): Rate {
  return { max: max - reserve, perMs };
}

function shareText({ rateLimit: { max, reserve, perMs } }: InstanceConfig): string {
  return `(${formatNumber(max)} less ${formatNumber(reserve)} in reserve, per ${formatDuration(perMs)})`;
}

function exceeds(asked: number, allowed: number): boolean {
  return asked > allowed * (1 + 1e-9);
}

/** Two rates with as many digits as it takes to tell them apart. */
function formatDistinct(asked: number, allowed: number): readonly [string, string] {
  for (let digits = 1; ; digits++) {
    const [a, b] = [formatNumber(asked, digits), formatNumber(allowed, digits)];
    if (a !== b || digits === 6) return [a, b];
  }
}

function groupsNeed(groups: readonly unknown[]): string {
  return groups.length === 1 ? '1 group needs' : `${formatNumber(groups.length)} groups need`;
}

/** `2,000`, and with one digit `2,000.0`. */
function formatNumber(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A rate a minute, as a short text. */
export function formatRate(perMinute: number): string {
  if (perMinute === 0) return '0';
  if (perMinute < 0.001) return '<0.001';
  return perMinute >= 10 ? perMinute.toFixed(1) : perMinute.toPrecision(2);
}
