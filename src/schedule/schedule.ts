/**
 * When a group's scheduled rotations are due. Pure: the current time is an argument, and times are milliseconds since
 * 1970. Schedules must be valid, as `config` guarantees: the zone exists, the window opens, and the cron expression
 * occurs.
 */
import { createHash } from 'node:crypto';
import { meanInterval, nextOccurrence } from './cron.ts';
import { slide, type Window } from './window.ts';

interface ScheduleBase {
  /** IANA name. */
  readonly timezone: string;
  /** Scheduled rotations happen only inside it. Null: at any time. */
  readonly window: Window | null;
}

export type Schedule =
  | (ScheduleBase & { readonly kind: 'every'; readonly everyMs: number })
  | (ScheduleBase & { readonly kind: 'cron'; readonly cron: string });

/** When a new group is rotated for the first time; `firstDue` explains each. */
export const firstSeenKinds = ['rotate', 'spread', 'wait'] as const;
export type FirstSeen = (typeof firstSeenKinds)[number];

/** The first due time after a rotation at `lastMs`: always later than it, always inside the window. */
export function nextDue(schedule: Schedule, lastMs: number): number {
  const due =
    schedule.kind === 'every' ? lastMs + schedule.everyMs : nextOccurrence(schedule.cron, schedule.timezone, lastMs);
  return slideIntoWindow(schedule, due);
}

/**
 * When a group that was never rotated is due. `rotate`: at once. `spread`: within one period, at a phase that depends
 * only on its id, so that many groups added together are not due together. `wait`: after a full period. For a cron
 * schedule, `spread` and `wait` both mean its next occurrence.
 */
export function firstDue(schedule: Schedule, firstSeen: FirstSeen, groupId: string, nowMs: number): number {
  if (firstSeen === 'rotate') return slideIntoWindow(schedule, nowMs);
  if (firstSeen === 'wait' || schedule.kind === 'cron') return nextDue(schedule, nowMs);
  const { everyMs } = schedule;
  const phaseMs = Math.floor(phaseOf(groupId) * everyMs);
  const sincePhase = (((nowMs - phaseMs) % everyMs) + everyMs) % everyMs;
  return slideIntoWindow(schedule, sincePhase === 0 ? nowMs : nowMs + everyMs - sincePhase);
}

/** `atMs` if scheduled rotations are allowed then, otherwise the next moment at which they are. */
export function slideIntoWindow({ window, timezone }: Schedule, atMs: number): number {
  return window === null ? atMs : slide(window, timezone, atMs);
}

/** The mean time between two rotations, ignoring the window, which can only make them fewer. */
export function meanPeriodMs(schedule: Schedule): number {
  return schedule.kind === 'every' ? schedule.everyMs : meanInterval(schedule.cron);
}

/** A number in [0, 1) that is the same for an id on every machine. */
export function phaseOf(id: string): number {
  return createHash('sha256').update(id).digest().readUInt32BE(0) / 2 ** 32;
}
