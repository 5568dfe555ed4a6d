/**
 * The coming rotations, derived from the file alone: as if no group had ever been rotated, and each rotation happened the
 * moment it is due. `busiestMoment` shows how long groups would wait for the token's limit. Pure.
 */
import { firstDue, nextDue } from '../schedule/schedule.ts';
import type { GroupConfig } from './config.ts';
import type { Demand } from './demand.ts';

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

export function previewOf(groups: readonly GroupConfig[], fromMs: number, forMs: number): Preview {
  const enabled = groups.filter((group) => group.enabled);
  const rotations: ComingRotation[] = [];
  const next = new Map(enabled.map((group) => [group, firstDue(group.schedule, group.firstSeen, group.id, fromMs)]));
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

/** When a group of this token waits longest for the limit; null if no group ever waits. */
export function busiestMoment({ tightest, groups }: Demand, nowMs: number): BusiestMoment | null {
  const { rotations } = previewOf(groups, nowMs, previewMs);
  const { max, reserve, perMs } = tightest.rateLimit;
  const share = Math.max(max - reserve, 1);
  const servedAt: number[] = [];
  let longest: { readonly at: number; readonly waitMs: number } | null = null;
  for (const [index, { at }] of rotations.entries()) {
    const before = servedAt[index - share];
    const when = Math.max(at, before === undefined ? 0 : before + perMs);
    servedAt.push(when);
    if (when - at > (longest?.waitMs ?? 0)) longest = { at, waitMs: when - at };
  }
  if (longest === null) return null;
  const minuteOf = (at: number) => Math.floor(at / 60_000);
  const minute = minuteOf(longest.at);
  const due = rotations.filter(({ at }) => minuteOf(at) === minute).length;
  return { at: longest.at, due, lastWaitsMs: longest.waitMs };
}

function sorted(rotations: ComingRotation[]): ComingRotation[] {
  return rotations.sort((a, b) => a.at - b.at || (a.group < b.group ? -1 : 1));
}
