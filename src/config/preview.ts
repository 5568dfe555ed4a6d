/**
 * The rotations to come, by the file alone: as if no group had ever been rotated, and each were the moment it falls due.
 * Pure. `clashOf` tells what the limit makes of them where many fall due together.
 */
import { firstDue, nextDue } from '../schedule/schedule.ts';
import type { Config, GroupConfig } from './config.ts';
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
  /** There are more: only the beginning of the time was looked at, up to this moment; null: all are there. */
  readonly brokenOffAt: number | null;
}

/** More are of no use to anybody who reads them, and would not fit into memory for every file. */
const most = 200_000;

export function previewOf(groups: readonly GroupConfig[], fromMs: number, forMs: number): Preview {
  const enabled = groups.filter((group) => group.enabled);
  const rotations: ComingRotation[] = [];
  // A slice of time at a time, so that what is left out in the end are the latest, of all groups.
  const slices = 64;
  const next = new Map(enabled.map((group) => [group, firstDue(group.schedule, group.firstSeen, group.id, fromMs)]));
  for (let slice = 1; slice <= slices; slice++) {
    const until = fromMs + Math.ceil((forMs * slice) / slices);
    for (const group of enabled) {
      let at = next.get(group) ?? until;
      for (; at < until; at = nextDue(group.schedule, at)) {
        rotations.push({ group: group.id, instance: group.instance, at });
        if (rotations.length >= most) break;
      }
      next.set(group, at);
    }
    if (rotations.length >= most) {
      const whole = fromMs + Math.ceil((forMs * (slice - 1)) / slices);
      return { rotations: sorted(rotations.filter(({ at }) => at < whole)), brokenOffAt: whole };
    }
  }
  return { rotations: sorted(rotations), brokenOffAt: null };
}

export interface Clash {
  /** When so many fall due that the last of them waits longest. */
  readonly at: number;
  /** How many fall due in that very minute. */
  readonly due: number;
  /** From its due time until the limit has room for the last of them. */
  readonly lastWaitsMs: number;
}

/** Two weeks: whatever a week's cron expressions make of each other. */
const clashDays = 14;

/** The longest that a group of this token waits for its turn; null: none ever does. */
export function clashOf({ instances, groups }: Demand, nowMs: number): Clash | null {
  const { rotations } = previewOf(groups, nowMs, clashDays * 86_400_000);
  const [tightest] = [...instances].sort((a, b) => shareOf(a) - shareOf(b));
  if (tightest === undefined) return null;
  const { max, reserve, perMs } = tightest.rateLimit;
  const share = Math.max(max - reserve, 1);
  const served: number[] = [];
  let worst: { index: number; waitMs: number } = { index: -1, waitMs: 0 };
  for (const [i, { at }] of rotations.entries()) {
    const free = served[i - share];
    const when = Math.max(at, free === undefined ? 0 : free + perMs);
    served.push(when);
    if (when - at > worst.waitMs) worst = { index: i, waitMs: when - at };
  }
  const last = rotations[worst.index];
  if (last === undefined) return null;
  const minute = Math.floor(last.at / 60_000);
  const due = rotations.filter(({ at }) => Math.floor(at / 60_000) === minute).length;
  return { at: last.at, due, lastWaitsMs: worst.waitMs };
}

function shareOf({ rateLimit: { max, reserve, perMs } }: Config['instances'][number]): number {
  return (max - reserve) / perMs;
}

function sorted(rotations: ComingRotation[]): ComingRotation[] {
  return rotations.sort((a, b) => a.at - b.at || (a.group < b.group ? -1 : 1));
}
