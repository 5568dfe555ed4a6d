/** Walks through every reachable state, breadth first, so that the first trace of its kind is a shortest one. */
import { keyOf } from './key.ts';
import type { Model } from './model.ts';
import type { State } from './state.ts';
import { stepsFrom } from './steps.ts';

export interface Finding {
  /** The promise that is broken, or the known case of it. */
  readonly kind: string;
  readonly count: number;
  /** A shortest sequence of steps to the first of them. */
  readonly trace: readonly string[];
}

export interface Exploration {
  readonly states: number;
  readonly quiet: number;
  readonly findings: readonly Finding[];
}

export interface Checks {
  /** The name of the failure that some state has no path to a quiet one, although no further fault occurs. */
  readonly stuck: string;
  readonly isQuiet: (state: State, model: Model) => boolean;
  /** What is wrong in a quiet state, or null. */
  readonly judge: (state: State, model: Model) => string | null;
  /** Stops once this kind was found. */
  readonly stopAt?: (kind: string) => boolean;
}

export function explore(starts: readonly State[], model: Model, checks: Checks): Exploration {
  const indexOf = new Map<string, number>();
  const states: (State | null)[] = [];
  const parents: number[] = [];
  const says: string[] = [];
  /** Pairs: from, to. */
  const usual: number[] = [];
  const quiet: number[] = [];
  const found = new Map<string, { count: number; trace: string[] }>();
  let enough = false;

  const note = (kind: string, at: number, last?: string) => {
    const known = found.get(kind);
    if (known !== undefined) known.count += 1;
    else found.set(kind, { count: 1, trace: [...traceTo(at, parents, says), ...(last === undefined ? [] : [last])] });
    enough ||= checks.stopAt?.(kind) ?? false;
  };
  const add = (state: State, from: number, said: string): number => {
    const key = keyOf(state, model.times);
    const known = indexOf.get(key);
    if (known !== undefined) return known;
    const index = states.push(state) - 1;
    indexOf.set(key, index);
    parents.push(from);
    says.push(said);
    if (checks.isQuiet(state, model)) {
      quiet.push(index);
      const wrong = checks.judge(state, model);
      if (wrong !== null) note(wrong, index);
    }
    return index;
  };

  for (const start of starts) add(start, -1, `a group whose link is ${start.record.link === null ? 'un' : ''}known`);
  for (let at = 0; at < states.length && !enough; at++) {
    const state = states[at] as State;
    states[at] = null;
    for (const step of stepsFrom(state, model)) {
      if (step.breaks !== undefined) note(step.breaks, at, step.says);
      const to = add(step.to, at, step.says);
      if (step.usual) usual.push(at, to);
    }
  }
  if (!enough) {
    const leads = leadingTo(quiet, usual, states.length);
    for (const [index, leadsTo] of leads.entries()) if (leadsTo === 0) note(checks.stuck, index);
  }
  return {
    states: states.length,
    quiet: quiet.length,
    findings: [...found].map(([kind, { count, trace }]) => ({ kind, count, trace })),
  };
}

function traceTo(index: number, parents: readonly number[], says: readonly string[]): string[] {
  const trace: string[] = [];
  for (let at = index; at >= 0; at = parents[at] as number) trace.push(says[at] as string);
  return trace.reverse();
}

/** 1 for each state from which one of `goals` can be reached. */
function leadingTo(goals: readonly number[], pairs: readonly number[], states: number): Uint8Array {
  const first = new Int32Array(states).fill(-1);
  const next = new Int32Array(pairs.length / 2);
  for (let pair = 0; pair < next.length; pair++) {
    const to = pairs[2 * pair + 1] as number;
    next[pair] = first[to] as number;
    first[to] = pair;
  }
  const leads = new Uint8Array(states);
  const open = [...goals];
  for (const goal of open) leads[goal] = 1;
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (let pair = first[at] as number; pair >= 0; pair = next[pair] as number) {
      const from = pairs[2 * pair] as number;
      if (leads[from] === 1) continue;
      leads[from] = 1;
      open.push(from);
    }
  }
  return leads;
}
