/**
 * What needs attention, by cause: groups that fail for the same reason are one entry. Pure. Contains no link, code or
 * token.
 */
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import type { GroupState } from '../groups/states.ts';
import { adviceFor } from '../ryze/policy.ts';
import { consumerAdvice, growsUnconsumed, plural, publishAdvice, unreadableAdvice } from './format.ts';
import { type InstanceStatus, type Status, totalOf } from './status.ts';
import type { Problem } from './summary.ts';

export interface Cause {
  /** The same as long as the cause lasts. */
  readonly key: string;
  readonly text: string;
  /** What to do. Empty if there is nothing to do but wait. */
  readonly advice: string;
  /** Null if unknown. */
  readonly since: string | null;
  /** Jobs that wait because of it, as text. Null if none do. */
  readonly waiting: string | null;
  /** Some of the groups concerned. */
  readonly groups: readonly { readonly group: string; readonly note: string }[];
  /** All of them. */
  readonly count: number;
  /** Which groups of the list are concerned. Null if it is not about groups. */
  readonly filter: Filter | null;
}

export interface Filter {
  readonly state?: GroupState;
  readonly instance?: string;
  /** Words to search for. */
  readonly q?: string;
}

const noGroups = { groups: [], count: 0, filter: null } as const;

/** The causes that only a person can remove. Empty if nothing needs attention. */
export function causesOf(status: Status): Cause[] {
  return [
    ...status.paused.map((queue) => pausedQueue(queue, status)),
    ...status.instances.flatMap((instance) => pausedInstance(instance, status)),
    ...status.problems.map(problem),
    ...Object.keys(status.outbox).flatMap((queue) => unpublished(queue, status)),
    ...Object.keys(status.resultsByState).flatMap((queue) => unconsumed(queue, status)),
    ...differentFiles(status),
  ];
}

function pausedQueue(queue: string, { instances, resultsByState }: Status): Cause {
  const instance = instances.find(({ instance: name }) => rotationsQueue(name) === queue);
  const events = resultsByState[queue];
  const jobs = instance === undefined ? 0 : jobsWaiting(instance);
  return {
    key: `queue-${queue}`,
    text: `The queue ${queue} is paused`,
    advice:
      queue === plannerQueue
        ? 'no scheduled rotation runs until somebody resumes it'
        : 'its jobs wait until somebody resumes it',
    since: null,
    waiting: waitText(jobs, 'job') ?? (events === undefined ? null : waitText(totalOf(events), 'event')),
    ...noGroups,
  };
}

function pausedInstance(status: InstanceStatus, { at }: Status): Cause[] {
  const { instance, gate } = status;
  if (gate === null) return [];
  return [
    {
      key: `instance-${instance}`,
      text: `${instance} is paused (${gate.reason})`,
      advice: adviceFor(gate.reason),
      since: gate.closedForMs === null ? null : earlier(at, gate.closedForMs),
      waiting: waitText(jobsWaiting(status), 'job'),
      groups: [],
      count: 0,
      filter: { instance },
    },
  ];
}

function problem({ state, code, groups: count, since, examples }: Problem): Cause {
  const groups = examples.map(({ group, duplicateOf }) => ({
    group,
    note: state === 'duplicate' ? `same WhatsApp group as ${duplicateOf}` : '',
  }));
  const cause = { since, waiting: null, groups, count };
  if (state === 'failing') {
    const why = code ?? 'unknown';
    return {
      ...cause,
      key: `failing-${why}`,
      text: `${plural(count, 'group')} ${count === 1 ? 'is' : 'are'} failing (${why})`,
      advice: code === null ? '' : adviceFor(code),
      filter: code === null ? { state } : { state, q: code },
    };
  }
  const are = count === 1 ? 'is' : 'are';
  return state === 'duplicate'
    ? {
        ...cause,
        key: state,
        text: `${plural(count, 'group')} ${count === 1 ? 'is a duplicate' : 'are duplicates'} of another`,
        advice: 'remove one of the two from the file',
        filter: { state },
      }
    : {
        ...cause,
        key: state,
        text: `${plural(count, 'group')} ${are} paused (${state})`,
        advice: unreadableAdvice,
        filter: { state },
      };
}

function unpublished(queue: string, { at, outbox, backlog }: Status): Cause[] {
  const events = outbox[queue] ?? 0;
  if (events === 0) return [];
  const ageMs = backlog[queue]?.unpublishedAgeMs ?? null;
  const since = ageMs === null ? null : earlier(at, ageMs);
  const text = `${queue}: ${plural(events, 'event')} not published yet`;
  return [{ key: `outbox-${queue}`, text, advice: publishAdvice, since, waiting: null, ...noGroups }];
}

function unconsumed(queue: string, { at, resultsByState, backlog }: Status): Cause[] {
  const { delayed = 0, failed = 0, waiting = 0 } = resultsByState[queue] ?? {};
  const oldestMs = backlog[queue]?.oldestAgeMs ?? null;
  const cause = (kind: keyof typeof consumerAdvice, text: string, since: string | null = null): Cause => ({
    ...{ key: `${kind}-${queue}`, text: `${queue}: ${text}`, advice: consumerAdvice[kind], since, waiting: null },
    ...noGroups,
  });
  const causes: Cause[] = [];
  if (growsUnconsumed(backlog[queue])) {
    const since = oldestMs === null ? null : earlier(at, oldestMs);
    causes.push(cause('growing', `${plural(waiting, 'event')} not consumed, and more arrive`, since));
  }
  if (delayed > 0) {
    causes.push(cause('delayed', `${plural(delayed, 'event')} waiting for a retry, because the consumer failed`));
  }
  if (failed > 0) causes.push(cause('failed', `${plural(failed, 'event')} failed`));
  return causes;
}

/** While an edit reaches one worker after the other, their files differ for a moment. */
const differsAfterMs = 5 * 60_000;

function differentFiles({ at, workers }: Status): Cause[] {
  const hashes = new Set(workers.map(({ config }) => config.hash));
  const since = workers
    .map(({ config }) => config.since)
    .toSorted()
    .at(-1);
  if (hashes.size < 2 || since === undefined || Date.parse(at) - Date.parse(since) < differsAfterMs) return [];
  return [
    {
      key: 'files',
      text: `The workers have ${hashes.size} different configuration files`,
      advice: 'the newer one applies; give all workers the same file',
      since,
      waiting: null,
      ...noGroups,
    },
  ];
}

function jobsWaiting({ queue }: InstanceStatus): number {
  return queue.waiting + queue.delayed;
}

function waitText(count: number, noun: string): string | null {
  return count === 0 ? null : `${plural(count, noun)} ${count === 1 ? 'waits' : 'wait'}`;
}

function earlier(at: string, ms: number): string {
  return new Date(Date.parse(at) - ms).toISOString();
}
