/**
 * Whether the file asks for more than its tokens can give: calls a minute, on average, against each token's share (its
 * limit less what is kept for one-offs), and against each instance's pace. Pure. Windows do not count here: a group
 * with a window asks for no more than it would without.
 */
import { meanPeriodMs } from '../schedule/schedule.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { formatDuration, formatDurationUp } from './duration.ts';
import type { Report } from './values.ts';

export interface Demand {
  /** Instances that share one token, as far as the file shows. */
  readonly instances: readonly InstanceConfig[];
  readonly groups: readonly GroupConfig[];
  /** Resets a minute that their groups ask for, on average. */
  readonly asked: number;
  /** Calls a minute that scheduled work may make: the smallest share of its instances. */
  readonly allowed: number;
}

/** One entry a token, in the order of the file. */
export function demands({ instances, groups }: Pick<Config, 'instances' | 'groups'>): Demand[] {
  const byToken = new Map<string, InstanceConfig[]>();
  for (const instance of instances) {
    const source = JSON.stringify(instance.token);
    const sharing = byToken.get(source);
    if (sharing === undefined) byToken.set(source, [instance]);
    else sharing.push(instance);
  }
  return [...byToken.values()].map((sharing) => {
    const names = new Set(sharing.map(({ name }) => name));
    const served = groups.filter(({ instance }) => names.has(instance));
    const allowed = Math.min(...sharing.map(shareOf));
    return { instances: sharing, groups: served, asked: askedPerMinute(served), allowed };
  });
}

/** Resets a minute that the enabled ones among these groups ask for, on average. */
export function askedPerMinute(groups: readonly GroupConfig[]): number {
  const count = new Map<number, number>();
  for (const { schedule, enabled } of groups) {
    if (!enabled) continue;
    const period = meanPeriodMs(schedule);
    count.set(period, (count.get(period) ?? 0) + 1);
  }
  // Summed by period, so that many groups that just fit are not too many by a rounding error.
  return [...count].reduce((sum, [period, groups]) => sum + (groups * 60_000) / period, 0);
}

/** `instances`: by their place in the file. Of half a file, what is asked for at least. */
export function checkDemand(
  instances: ReadonlyMap<number, InstanceConfig>,
  groups: readonly GroupConfig[],
  report: Report,
): void {
  const indexOf = new Map([...instances].map(([index, { name }]) => [name, index]));
  const pathOf = ({ name }: InstanceConfig) => ['instances', indexOf.get(name) ?? 0] as const;
  for (const demand of demands({ instances: [...instances.values()], groups })) {
    const [first] = demand.instances;
    if (first !== undefined && exceeds(demand.asked, demand.allowed)) report(pathOf(first), shareMessage(demand));
    for (const instance of demand.instances) {
      if (instance.paceMs === 0) continue;
      const own = groups.filter(({ instance: name, enabled }) => name === instance.name && enabled);
      const asked = askedPerMinute(own);
      const allowed = 60_000 / instance.paceMs;
      if (exceeds(asked, allowed)) report([...pathOf(instance), 'pace'], paceMessage(instance, own, asked, allowed));
    }
  }
}

function shareMessage({ instances, groups, asked, allowed }: Demand): string {
  const tightest = instances.find((instance) => shareOf(instance) === allowed) ?? instances[0];
  const { max = 0, reserve = 0, perMs = 60_000 } = tightest?.rateLimit ?? {};
  const enabled = groups.filter((group) => group.enabled);
  const names = instances.map(({ name }) => name).join(', ');
  const [askedText, allowedText] = apart(asked, allowed);
  return (
    `${names}: ${askers(enabled)} for ${askedText} calls a minute, the share for scheduled work is ${allowedText} ` +
    `(${amount(max)} less ${amount(reserve)} in reserve, per ${formatDuration(perMs)}): ` +
    `${remedy(enabled, asked / allowed)}, or ask for a higher limit`
  );
}

function paceMessage({ name, paceMs }: InstanceConfig, groups: GroupConfig[], asked: number, allowed: number): string {
  const [askedText, allowedText] = apart(asked, allowed);
  return (
    `${name}: ${askers(groups)} for ${askedText} resets a minute, a pace of ${formatDuration(paceMs)} allows ` +
    `${allowedText}: ${remedy(groups, asked / allowed)}`
  );
}

/** What would be right: longer periods, and where all groups have the same, how long. */
function remedy(groups: readonly GroupConfig[], factor: number): string {
  const periods = new Set(groups.map(({ schedule }) => (schedule.kind === 'every' ? schedule.everyMs : null)));
  const [same] = periods;
  if (periods.size === 1 && typeof same === 'number') {
    return `raise "every" from ${formatDuration(same)} to at least ${formatDurationUp(same * factor)}`;
  }
  return `make the periods at least ${(Math.ceil(factor * 100) / 100).toFixed(2)} times as long`;
}

/** Calls a minute. */
function shareOf({ rateLimit: { max, perMs, reserve } }: InstanceConfig): number {
  return ((max - reserve) * 60_000) / perMs;
}

function exceeds(asked: number, allowed: number): boolean {
  return asked > allowed * (1 + 1e-9);
}

/** Two rates with as many digits as it takes to tell them apart. */
function apart(asked: number, allowed: number): readonly [string, string] {
  const pair = (digits: number) => [amount(asked, digits), amount(allowed, digits)] as const;
  for (let digits = 1; digits < 6; digits++) {
    const [a, b] = pair(digits);
    if (a !== b) return [a, b];
  }
  return pair(6);
}

function askers(groups: readonly unknown[]): string {
  return groups.length === 1 ? '1 group asks' : `${amount(groups.length)} groups ask`;
}

/** `2,000`, and with one digit `2,000.0`. */
function amount(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Calls a minute, short. */
export function rate(perMinute: number): string {
  if (perMinute === 0) return '0';
  if (perMinute < 0.001) return '<0.001';
  return perMinute >= 10 ? perMinute.toFixed(1) : perMinute.toPrecision(2);
}
