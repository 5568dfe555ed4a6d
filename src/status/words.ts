/** A status in words, for the terminal and the page alike. Tells no link, code or token. */
import { adviceFor } from '../rotation/policy.ts';
import { span } from '../text.ts';
import type { GroupStatus, InstanceStatus } from './status.ts';

export function budgetText({ budget }: InstanceStatus): string {
  if (budget === null) return '-';
  const others = budget.foreign > 0 ? ` (${budget.foreign} by others)` : '';
  return `${budget.used} of ${budget.limit} used${others}`;
}

export function queueText({ queue }: InstanceStatus): string {
  return `${queue.waiting} waiting, ${queue.active} active, ${queue.delayed} delayed`;
}

export function gateText({ gate }: InstanceStatus): string {
  if (gate === null) return 'open';
  return `paused: ${gate.reason}, ${gate.opensInMs > 0 ? `tries in ${span(gate.opensInMs)}` : 'waits for a call that works'}`;
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
