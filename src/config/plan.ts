/**
 * What `check` prints: the plan (for each instance its groups, the calls a minute that they need and that are allowed,
 * and the next rotations) or a preview of the rotations to come. Knows nothing of Redis, so both describe the first
 * start: no group has ever been rotated, and each rotation happens the moment it is due. Pure.
 */
import { groupBy } from '../groupBy.ts';
import { firstDue, nextDue } from '../schedule/schedule.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { askedPerMinute, type Demand, demands } from './demand.ts';
import { formatDurationLong } from './duration.ts';
import { type Remark, remarksOf } from './remarks.ts';
import { scheduleText } from './scheduleText.ts';
import { verificationOf } from './verification.ts';

export interface PlannedInstance {
  readonly instance: string;
  readonly groups: number;
  /** How many of these have scheduled rotations. */
  readonly enabled: number;
  /** Resets a minute that its groups need, on average. */
  readonly callsPerMinuteAsked: number;
  /** What scheduled work of its token may use, shared with other instances of the same token. */
  readonly callsPerMinuteAllowed: number;
  /** Instances with the same token, as far as the file shows. */
  readonly sharesTokenWith: readonly string[];
  /** When a group of its token waits longest for the limit, if none was ever rotated; null if no group waits. */
  readonly busiestMoment: { readonly at: string; readonly due: number; readonly lastWaitsMs: number } | null;
  /** How often links are read back: each group of its token once in `every`. Null: never. */
  readonly verification: {
    readonly every: string;
    readonly everyMs: number;
    readonly groups: number;
    readonly readsPerMinute: number;
  } | null;
  readonly next: readonly PlannedRotation[];
}

export interface PlannedRotation {
  readonly group: string;
  /** For a group that was never rotated; a running worker counts from the last rotation. */
  readonly at: string;
  readonly schedule: string;
  /** Why at that time. */
  readonly why: string;
}

/** What the first start does to the links in use. */
export interface FirstStart {
  /** Links that are read and published, with one call each. */
  readonly linksRead: number;
  /** Until the last of them is read, if the limit spreads the calls over minutes; 0: within seconds. */
  readonly readsTakeMs: number;
  /** Links that are replaced at once. */
  readonly replacedAtOnce: number;
  /** The first rotations of the other groups; null if there are none. */
  readonly replacedLater: { readonly links: number; readonly from: string; readonly to: string } | null;
}

export interface Plan {
  readonly file: string;
  readonly firstStart: FirstStart;
  readonly instances: readonly PlannedInstance[];
  /** Schedules that are probably not meant. The file is valid nevertheless. */
  readonly remarks: readonly Remark[];
}

/** Next rotations listed for each instance. */
const shown = 5;

export function makePlan(config: Config, nowMs: number): Plan {
  const firstOf = firstDues(config.groups, nowMs);
  const tokens = demands(config).map((demand) => ({
    ...demand,
    busiest: busiestMoment(demand, nowMs, firstOf),
    verification: plannedVerification(demand, config.verify),
  }));
  const tokenOf = new Map(tokens.flatMap((token) => token.instances.map((instance) => [instance, token] as const)));
  const groupsOf = groupBy(config.groups, ({ instance }) => instance);
  return {
    file: config.file,
    firstStart: firstStartOf(tokens, [...firstOf.values()], nowMs),
    instances: config.instances.map((instance) => {
      const token = tokenOf.get(instance);
      const groups = groupsOf.get(instance.name) ?? [];
      const enabled = groups.filter((group) => group.enabled);
      return {
        instance: instance.name,
        groups: groups.length,
        enabled: enabled.length,
        callsPerMinuteAsked: askedPerMinute(groups),
        callsPerMinuteAllowed: token?.allowed ?? 0,
        sharesTokenWith: (token?.instances ?? []).filter((other) => other !== instance).map(({ name }) => name),
        busiestMoment: token?.busiest ? { ...token.busiest, at: new Date(token.busiest.at).toISOString() } : null,
        verification: token?.verification ?? null,
        next: enabled
          .map((group) => ({ group, at: firstOf.get(group) ?? nowMs }))
          .sort((a, b) => a.at - b.at)
          .slice(0, shown)
          .map(({ group, at }) => ({
            group: group.id,
            at: new Date(at).toISOString(),
            schedule: scheduleText(group.schedule),
            why: reasonFor(group, at, nowMs),
          })),
      };
    }),
    remarks: remarksOf(config, nowMs),
  };
}

function plannedVerification(token: Demand, verify: Config['verify']): PlannedInstance['verification'] {
  const verification = verificationOf(token, verify);
  if (verification === null) return null;
  const { everyMs, groups, readsPerMinute } = verification;
  return { every: formatDurationLong(everyMs), everyMs: Math.ceil(everyMs - 1e-6), groups, readsPerMinute };
}

type FirstDues = ReadonlyMap<GroupConfig, number>;

/** When the enabled groups are due, if none was ever rotated. */
function firstDues(groups: readonly GroupConfig[], nowMs: number): FirstDues {
  const enabled = groups.filter((group) => group.enabled);
  return new Map(enabled.map((group) => [group, firstDue(group.schedule, group.firstSeen, group.id, nowMs)] as const));
}

/** `firsts`: when the groups are due. */
function firstStartOf(tokens: readonly Demand[], firsts: readonly number[], nowMs: number): FirstStart {
  const later = firsts.filter((at) => at > nowMs).sort((a, b) => a - b);
  const minutes = tokens.map(({ groups: served, allowed }) => {
    const reads = served.filter((group) => group.enabled).length;
    return Math.floor(Math.max(reads - 1, 0) / Math.max(allowed, 1));
  });
  return {
    linksRead: firsts.length,
    readsTakeMs: Math.max(0, ...minutes) * 60_000,
    replacedAtOnce: firsts.length - later.length,
    replacedLater:
      later.length === 0
        ? null
        : {
            links: later.length,
            from: new Date(later[0] ?? nowMs).toISOString(),
            to: new Date(later.at(-1) ?? nowMs).toISOString(),
          },
  };
}

function reasonFor({ schedule, firstSeen }: GroupConfig, at: number, nowMs: number): string {
  if (at === nowMs) return 'never rotated: at once';
  if (firstSeen === 'rotate') return 'never rotated: when its window opens';
  if (schedule.kind === 'cron')
    return schedule.window === null ? 'next time of its cron' : 'next time of its cron, in its window';
  const until = firstSeen === 'spread' ? 'at its own phase of the period' : 'a full period from now';
  return schedule.window === null ? until : `${until}, in its window`;
}

export interface ComingRotation {
  readonly group: string;
  readonly instance: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface Preview {
  /** By time. */
  readonly rotations: readonly ComingRotation[];
  /** There are too many: `rotations` has only those before this moment. Null if it has all. */
  readonly truncatedAt: number | null;
}

/** Nobody reads more, and for some files more would not fit into memory. */
const maxRotations = 200_000;
/** The time is previewed in slices, so that if there are too many, the latest rotations of all groups are left out. */
const slices = 64;

export function previewOf(
  groups: readonly GroupConfig[],
  fromMs: number,
  forMs: number,
  firstOf: FirstDues = firstDues(groups, fromMs),
): Preview {
  const enabled = groups.filter((group) => group.enabled);
  const rotations: ComingRotation[] = [];
  const next = new Map(enabled.map((group) => [group, firstOf.get(group) ?? fromMs]));
  const endOf = (slice: number) => fromMs + Math.ceil((forMs * slice) / slices);
  for (let slice = 1; slice <= slices; slice++) {
    const until = endOf(slice);
    for (const group of enabled) {
      let at = next.get(group) ?? until;
      for (; at < until; at = nextDue(group.schedule, at)) {
        rotations.push({ group: group.id, instance: group.instance, at });
        if (rotations.length >= maxRotations) break;
      }
      next.set(group, at);
    }
    if (rotations.length >= maxRotations) {
      const truncatedAt = endOf(slice - 1);
      return { rotations: sorted(rotations.filter(({ at }) => at < truncatedAt)), truncatedAt };
    }
  }
  return { rotations: sorted(rotations), truncatedAt: null };
}

export interface BusiestMoment {
  /** The due time of the rotation that waits longest. */
  readonly at: number;
  /** How many rotations are due in the same minute. */
  readonly due: number;
  /** How long that rotation waits until the limit allows it. */
  readonly lastWaitsMs: number;
}

/** Two weeks contain every combination of weekly cron expressions. */
const previewMs = 14 * 86_400_000;
/** Rotations of a token that are looked at, which takes about a second. If two weeks have more, a shorter time is. */
const maxLooked = 30_000_000;

function lookMsOf({ asked }: Demand): number {
  return Math.min(previewMs, (maxLooked / asked) * 60_000);
}

/** When a group of this token waits longest for the limit; null if no group ever waits. */
export function busiestMoment(
  demand: Demand,
  nowMs: number,
  firstOf: FirstDues = firstDues(demand.groups, nowMs),
): BusiestMoment | null {
  if (!isCrowded(demand, nowMs, firstOf)) return null;
  const { instances, tightest, groups } = demand;
  const { rotations } = previewOf(groups, nowMs, lookMsOf(demand), firstOf);
  const { perMs } = tightest.rateLimit;
  const slots = slotsOf(tightest);
  const paceOf = new Map(instances.map(({ name, paceMs }) => [name, paceMs]));
  const servedAt: number[] = [];
  /** By instance. */
  const pacedUntil = new Map<string, number>();
  let longest: { readonly at: number; readonly waitMs: number } | null = null;
  for (const [index, { at, instance }] of rotations.entries()) {
    const before = servedAt[index - slots];
    const slotAt = Math.max(at, before === undefined ? 0 : before + perMs);
    servedAt.push(slotAt);
    const when = Math.max(slotAt, pacedUntil.get(instance) ?? 0);
    pacedUntil.set(instance, when + (paceOf.get(instance) ?? 0));
    if (when - at > (longest?.waitMs ?? 0)) longest = { at, waitMs: when - at };
  }
  if (longest === null) return null;
  const minuteOf = (at: number) => Math.floor(at / 60_000);
  const minute = minuteOf(longest.at);
  const due = rotations.filter(({ at }) => minuteOf(at) === minute).length;
  return { at: longest.at, due, lastWaitsMs: longest.waitMs };
}

/** For scheduled work, in one period of the limit. */
function slotsOf({ rateLimit: { max, reserve } }: InstanceConfig): number {
  return Math.max(max - reserve, 1);
}

/** A minute, in which many schedules are due together. */
const minStretchMs = 60_000;

/**
 * False only if no group of a token waits: in any two adjacent stretches of time, each at least as long as the limit's
 * period, no more rotations are due than the limit allows in one period. Counting them is faster than a preview.
 */
function isCrowded(demand: Demand, nowMs: number, firstOf: FirstDues): boolean {
  const { instances, tightest, groups } = demand;
  if (instances.some(({ paceMs }) => paceMs > 0)) return true;
  const stretchMs = Math.max(tightest.rateLimit.perMs, minStretchMs);
  const slots = slotsOf(tightest);
  const lookMs = lookMsOf(demand);
  const counts = new Uint32Array(Math.ceil(lookMs / stretchMs) + 1);
  for (const group of groups) {
    const first = firstOf.get(group) ?? Number.POSITIVE_INFINITY;
    for (let at = first; at < nowMs + lookMs; at = nextDue(group.schedule, at)) {
      const stretch = Math.floor((at - nowMs) / stretchMs);
      const count = (counts[stretch] ?? 0) + 1;
      if (count > slots) return true;
      counts[stretch] = count;
    }
  }
  return counts.some((count, index) => count + (counts[index + 1] ?? 0) > slots);
}

function sorted(rotations: ComingRotation[]): ComingRotation[] {
  return rotations.sort((a, b) => a.at - b.at || (a.group < b.group ? -1 : 1));
}
