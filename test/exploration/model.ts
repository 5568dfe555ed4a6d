/** The program's own functions that the exploration calls, and what all steps have in common. */

import type { LinkEvent } from '../../src/contract/event.ts';
import { asReplaced, withEntry, withoutEntry } from '../../src/groups/entries.ts';
import { nextDueAt, settleAt } from '../../src/groups/record.ts';
import { decide } from '../../src/rotation/decide.ts';
import { transition } from '../../src/rotation/transition.ts';
import type { Input, Transition } from '../../src/rotation/types.ts';
import { type Activity, type Consumer, type GroupId, type Process, type State, type Times, tickMs } from './state.ts';

export const program = { decide, transition, withEntry, withoutEntry, asReplaced, settleAt, nextDueAt } as const;
export type Protocol = typeof program;

export interface Model {
  readonly protocol: Protocol;
  readonly times: Times;
}

export interface Step {
  readonly says: string;
  readonly to: State;
  /** Happens without a death, freeze, bad answer, lost job, edit or person. */
  readonly usual: boolean;
  /** The promise that this step breaks. */
  readonly breaks?: string | undefined;
}

export const revisionsGrow = 'revisions grow, and name the one before';
export const oneAtATime = 'one at a time';
export const inWindow = 'a scheduled reset keeps to its window';
/** The case in which there may be two. */
export const mistaken = "a read-back took another's code for that of a reset that may still take effect";

export interface Stored {
  readonly to: State;
  readonly changed: Transition;
  readonly breaks: string | undefined;
}

/** Stores what an input makes of the record, and publishes its events. */
export function apply(state: State, model: Model, input: Input, atMs: number): Stored {
  const changed = model.protocol.transition(state.record, input, atMs, settleMs(model));
  const { to, breaks } = publish({ ...state, record: changed.record }, changed.events);
  return { to, changed, breaks };
}

export function publish(
  state: State,
  events: readonly LinkEvent[],
): { readonly to: State; readonly breaks: string | undefined } {
  let { consumers, spoken } = state;
  let breaks: string | undefined;
  for (const event of events) {
    if (event.type === 'rotation.failed') continue;
    const id = event.group as GroupId;
    const { held, before } = consumers[id];
    const { revision, inviteCode: code } = event;
    const grows = revision > (held?.revision ?? 0) && event.previousRevision === before;
    if (!grows) breaks = revisionsGrow;
    const after: Consumer = {
      held: held === null || revision > held.revision ? { code, revision } : held,
      before: revision,
    };
    consumers = { ...consumers, [id]: after };
    spoken = revision;
  }
  return { to: { ...state, consumers, spoken }, breaks };
}

export function settleMs({ times }: Model): number {
  return times.settle * tickMs;
}

export function nameOf(state: State, index: number): string {
  return (state.processes[index] as Process).name;
}

/** Not frozen. */
export function doNext(state: State, index: number, doing: Activity): State {
  return replace(state, index, { name: nameOf(state, index), frozen: false, doing });
}

/** Frozen or not. */
export function carryOn(state: State, index: number, doing: Activity): State {
  return replace(state, index, { ...(state.processes[index] as Process), doing });
}

export function replace(state: State, index: number, process: Process): State {
  const processes = state.processes.map((other, i) => (i === index ? process : other));
  return { ...state, processes };
}
