/** A status in words, for the terminal and the page alike. Tells no link, code or token. */
import type { EventCounts } from '../bullmq/counts.ts';
import { adviceFor } from '../rotation/policy.ts';
import type { GroupStatus, InstanceStatus } from './status.ts';

export function budgetText({ budget }: InstanceStatus): string {
  if (budget === null) return '-';
  const others = budget.foreign > 0 ? ` (${budget.foreign} by others)` : '';
  return `${budget.used} of ${budget.limit} used${others}`;
}

export function queueText({ queue }: InstanceStatus): string {
  return `${queue.waiting} waiting, ${queue.active} active, ${queue.delayed} delayed`;
}

export function eventsText(queue: string, { waiting, active, delayed, failed }: EventCounts): string {
  const total = waiting + active + delayed + failed;
  const states =
    total === waiting ? '' : ` (${waiting} waiting, ${active} active, ${delayed} delayed, ${failed} failed)`;
  return `${total} events on ${queue} are not consumed yet${states}.`;
}

/** What is wrong with a queue's consumers, as far as its events tell, one line each. */
export function consumerTroubles(queue: string, { delayed, failed }: EventCounts): string[] {
  return [
    ...(delayed > 0
      ? [`${delayed} events on ${queue} wait to be tried again: does the handler of their consumer fail?`]
      : []),
    ...(failed > 0
      ? [
          `${failed} events on ${queue} have failed: put their consumer right; \`consumeLinks\` tries them again by itself, others need a retry`,
        ]
      : []),
  ];
}

export function gateText({ gate }: InstanceStatus): string {
  if (gate === null) return 'open';
  return `paused: ${gate.reason}, ${gate.opensInMs > 0 ? `tries in ${span(gate.opensInMs)}` : 'waits for a call that works'}`;
}

export function pausedText(queue: string): string {
  return `The queue ${queue} is paused: its jobs wait until somebody resumes it`;
}

const linkBy = {
  schedule: 'rotated on schedule',
  request: 'rotated on request',
  recovery: 'rotated, read back',
  drift: 'changed by somebody else',
  adopted: 'read at first sight',
} as const;

/** What a person can do about a reason for which an instance is paused or a group failed; empty: only wait. */
export function adviceText(reason: string): string {
  const advice = reason === 'unreadable_record' ? unreadable : adviceFor(reason);
  return advice === '' ? '' : `: ${advice}`;
}

const unreadable = 'its record in Redis is damaged, or was written by another version; the log names it';

/** What became of the last thing that was done with the group; `-`: nothing was done yet. */
export function outcomeText({ lastError, linkBy: by }: Pick<GroupStatus, 'lastError' | 'linkBy'>): string {
  if (lastError !== null) return 'failed';
  return by === null ? '-' : linkBy[by];
}

/** What else a person should know; empty: nothing. */
export function remarksText({ lastError, unverified }: Pick<GroupStatus, 'lastError' | 'unverified'>): string {
  const remarks: string[] = [];
  if (lastError !== null) remarks.push(`${lastError.code}: ${lastError.message}`);
  if (unverified > 0)
    remarks.push(`its link could not be verified ${unverified === 1 ? 'once' : `${unverified} times in a row`}`);
  return remarks.join('; ');
}

/** `3d 4h`, `12m 5s`: the two largest units. */
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
