/**
 * When a group's scheduled rotations fall due. Pure: every function takes the time it is asked about and answers in
 * milliseconds since 1970. Schedules are expected as `config` lets them through: a zone that exists, a window that
 * opens, a cron expression that comes up.
 */
import { createHash } from 'node:crypto';
import { meanInterval, nextOccurrence } from './cron.ts';
import { slide, type Window } from './window.ts';

interface ScheduleBase {
  /** IANA name. */
  readonly timezone: string;
  /** Scheduled rotations happen only inside it; null: at any time. */
  readonly window: Window | null;
}

export type Schedule =
  | (ScheduleBase & { readonly kind: 'every'; readonly everyMs: number })
  | (ScheduleBase & { readonly kind: 'cron'; readonly cron: string });

/** What a new group's first rotation waits for; `firstDue` tells what each means. */
export const firstSeenKinds = ['rotate', 'spread', 'wait'] as const;
export type FirstSeen = (typeof firstSeenKinds)[number];

/** First due time after a rotation at `lastMs`: always later, always in the window. */
export function nextDue(schedule: Schedule, lastMs: number): number {
  const due =
    schedule.kind === 'every' ? lastMs + schedule.everyMs : nextOccurrence(schedule.cron, schedule.timezone, lastMs);
  return slideIntoWindow(schedule, due);
}

/**
 * When a group falls due that was never rotated. `rotate`: at once. `spread`: within one period, at a phase that only
 * its id decides, so that many groups added together do not clash; for a cron schedule, whose moments are fixed, at
 * its next one. `wait`: a full period from now, or the next moment of a cron schedule.
 */
export function firstDue(schedule: Schedule, firstSeen: FirstSeen, groupId: string, nowMs: number): number {
  if (firstSeen === 'rotate') return slideIntoWindow(schedule, nowMs);
  if (firstSeen === 'wait' || schedule.kind === 'cron') return nextDue(schedule, nowMs);
  const { everyMs } = schedule;
  const phaseMs = Math.floor(phaseOf(groupId) * everyMs);
  const sincePhase = (((nowMs - phaseMs) % everyMs) + everyMs) % everyMs;
  return slideIntoWindow(schedule, sincePhase === 0 ? nowMs : nowMs + everyMs - sincePhase);
}

/** `atMs` if scheduled rotations are allowed then, else the moment from which they are. */
export function slideIntoWindow({ window, timezone }: Schedule, atMs: number): number {
  return window === null ? atMs : slide(window, timezone, atMs);
}

/** The mean time between two rotations, were there no window: in one that is open for less, they can only be fewer. */
export function meanPeriodMs(schedule: Schedule): number {
  return schedule.kind === 'every' ? schedule.everyMs : meanInterval(schedule.cron);
}

/** A number in [0, 1) that stays the same for an id, on every machine. */
function phaseOf(id: string): number {
  return createHash('sha256').update(id).digest().readUInt32BE(0) / 2 ** 32;
}
