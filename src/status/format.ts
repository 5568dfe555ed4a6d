/**
 * A status as text, for the terminal and the page. Contains no link, code or token. Texts about a problem say what is
 * wrong, for how long, and what to do.
 */
import type { EventCounts } from '../bullmq/counts.ts';
import type { LinkReason } from '../contract/event.ts';
import type { GroupState } from '../groups/states.ts';
import type { GroupStatus } from './groupStatus.ts';
import { type Backlog, type InstanceStatus, totalOf } from './status.ts';

export const publishAdvice = 'if this lasts, the log says why (publish.failed)';
export const unreadableAdvice =
  'its record in Redis is damaged, or another version wrote it; the log says what to do (group.unreadable)';
export const consumerAdvice = {
  growing: 'start its consumers, or remove it from results.queues',
  delayed: 'its log says why',
  failed: 'correct the consumer: `consumeLinks` then retries automatically, any other needs a manual retry',
} as const;

/** Events that merely exist are normal: a consumer may be about to take them, or nobody has needed one yet. */
const growsAfterMs = 15 * 60_000;

/** Whether events keep arriving on a results queue while the oldest one waits. */
export function growsUnconsumed(backlog: Backlog | undefined): boolean {
  return backlog !== undefined && backlog.growingMs > growsAfterMs;
}

export function pausedText(queue: string): string {
  return `The queue ${queue} is paused: its jobs wait until somebody resumes it`;
}

export function plannerText(lastTickAgeMs: number | null): string {
  if (lastTickAgeMs === null) return 'The planner has never run: is the worker running?';
  const isLate = lastTickAgeMs > plannerLateMs;
  return `The planner last ran ${span(lastTickAgeMs)} ago${isLate ? ': is the worker running?' : '.'}`;
}

/** The planner runs every 5 s. */
const plannerLateMs = 20_000;

export function budgetText({ budget }: InstanceStatus): string {
  if (budget === null) return '-';
  const others = budget.foreign > 0 ? ` (${budget.foreign} by others)` : '';
  return `${budget.used} of ${budget.limit} used${others}`;
}

export function queueText({ queue }: InstanceStatus): string {
  return `${queue.waiting} waiting, ${queue.active} active, ${queue.delayed} delayed`;
}

export function serversText({ servedBy }: InstanceStatus): string {
  return servedBy.map(({ host, pid }) => `${host} (pid ${pid})`).join(', ') || '-';
}

export function instanceStateText({ gate }: InstanceStatus): string {
  if (gate === null) return 'running';
  return `${pauseText(gate)}, ${gate.opensInMs > 0 ? `next try in ${span(gate.opensInMs)}` : 'the next call is a probe'}`;
}

function pauseText({ reason, closedForMs }: NonNullable<InstanceStatus['gate']>): string {
  return `paused${closedForMs === null ? '' : ` for ${span(closedForMs)}`} (${reason})`;
}

export function eventsText(queue: string, counts: EventCounts): string {
  const { waiting, active, delayed, failed } = counts;
  const total = totalOf(counts);
  const states =
    total === waiting ? '' : ` (${waiting} waiting, ${active} active, ${delayed} delayed, ${failed} failed)`;
  return `${queue}: ${plural(total, 'event')} not consumed yet${states}.`;
}

const linkBy = {
  schedule: 'rotated on schedule',
  request: 'rotated on request',
  recovery: 'rotated, read back',
  drift: 'changed by someone else',
  adopted: 'read for the first time',
} as const;

export function linkReasonText(reason: LinkReason): string {
  return linkBy[reason];
}

/** What a state means, as docs/cli.md says it. */
export const stateMeaning: Readonly<Record<GroupState, string>> = {
  unreadable_record: "the group's record in Redis is damaged, or another version wrote it",
  uncertain: 'a reset had no answer, so the link may have changed; the worker is reading it back',
  duplicate: 'another entry of the file is the same WhatsApp group; this one is paused',
  failing: 'the last rotation failed; it is retried automatically',
  overdue: 'the rotation has been due for more than a minute',
  rotating: 'a call is in progress',
  unverified: 'the API never showed the link, or failed to show it three times in a row',
  new: 'no link has been published yet',
  fresh: 'the link is current',
  disabled: 'enabled: false: only one-offs rotate it',
};

/** How the last operation on the group ended; `-` if there was none. */
export function outcomeText({ lastError, linkBy: by }: GroupStatus): string {
  if (lastError !== null) return 'failed';
  return by === null ? '-' : linkBy[by];
}

/** Further remarks on a group; empty if there are none. */
export function remarksText({ lastError, unverified, duplicateOf }: GroupStatus, nowMs: number): string {
  const remarks: string[] = [];
  if (duplicateOf !== null) remarks.push(`same WhatsApp group as ${duplicateOf}`);
  if (lastError !== null) remarks.push(`${failureText(lastError, nowMs)}: ${lastError.message}`);
  if (unverified > 0)
    remarks.push(`link could not be verified ${unverified === 1 ? 'once' : `${unverified} times in a row`}`);
  return remarks.join('; ');
}

function failureText({ code, at, count }: NonNullable<GroupStatus['lastError']>, nowMs: number): string {
  const last = `${span(Math.max(nowMs - Date.parse(at), 0))} ago`;
  return count === 1 ? `${code} ${last}` : `${code} ${count} times in a row, last ${last}`;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A duration in its two largest units: `3d 4h`, `12m 5s`. */
export function span(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const units: [string, number][] = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3_600) % 24],
    ['m', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ];
  const first = units.findIndex(([, count]) => count > 0);
  if (first === -1) return '0s';
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count}${unit}`)
    .join(' ');
}

/** `in 3h`, `5m ago`. */
export function relativeTime(ms: number): string {
  return ms >= 0 ? `in ${span(ms)}` : `${span(-ms)} ago`;
}
