/**
 * The protocol by which a group's link is reset, explored exhaustively: every order of events that a few workers, a
 * server that is late or silent, deaths, a freeze and a human can bring about, on the program's own `decide` and
 * `transition`. What is not live when all is quiet must be one of the cases that are listed, and each rule taken out
 * must be missed.
 */
import { describe, expect, it } from 'vitest';
import { decide, transition } from '../../src/rotation/attempt.ts';
import { type Exploration, explore, type Finding } from './explore.ts';
import { mutants } from './mutants.ts';
import { isQuiet, judge, live, residuals } from './promises.ts';
import { type Faults, rulesOf, startState, times } from './state.ts';
import { type Model, mistaken, oneAtATime, revisionsGrow } from './steps.ts';

const [byHand, frozenThenKilled, frozenThenSilent, blind] = residuals.map(({ name }) => name) as [
  string,
  string,
  string,
  string,
];
const broken = [live, oneAtATime, revisionsGrow];

const program: Model = { protocol: { decide, transition }, times, rules: rulesOf(times.settle) };

function run(model: Model, faults: Faults, workers: number, stopAt?: (kind: string) => boolean): Exploration {
  const starts = (['known', 'unknown'] as const).map((link) => startState(link, workers, faults));
  return explore(starts, model, { isQuiet, judge, ...(stopAt === undefined ? {} : { stopAt }) });
}

/** Readable where a test fails: what was broken, and the shortest way to it. */
function tell({ kind, count, trace }: Finding): string {
  return [`${kind} (${count} times), first:`, ...trace].join('\n  ');
}

interface Case {
  readonly faults: Faults;
  readonly workers: number;
  /** At least; fewer would mean that the model has lost something. */
  readonly states: number;
  readonly cases: readonly string[];
}

const cases: Case[] = [
  {
    faults: { deaths: 2, freezes: 0, badAnswers: 1, humanResets: 1 },
    workers: 2,
    states: 50_000,
    cases: [byHand, blind, mistaken],
  },
  {
    faults: { deaths: 1, freezes: 1, badAnswers: 0, humanResets: 1 },
    workers: 2,
    states: 90_000,
    cases: [byHand, frozenThenKilled, mistaken],
  },
  {
    faults: { deaths: 0, freezes: 1, badAnswers: 1, humanResets: 1 },
    workers: 2,
    states: 90_000,
    cases: [byHand, frozenThenSilent, blind, mistaken],
  },
];
const more: Case[] = [
  {
    faults: { deaths: 1, freezes: 1, badAnswers: 1, humanResets: 0 },
    workers: 3,
    states: 300_000,
    cases: [frozenThenKilled, frozenThenSilent, blind, mistaken],
  },
  {
    faults: { deaths: 2, freezes: 1, badAnswers: 1, humanResets: 1 },
    workers: 2,
    states: 1_000_000,
    cases: [byHand, frozenThenKilled, frozenThenSilent, blind, mistaken],
  },
];
// Minutes and some gigabytes: for whoever changes the protocol.
if (process.env.EXPLORE === 'more') cases.push(...more);

describe('the protocol', () => {
  it.each(cases)(
    'holds with $workers workers and $faults',
    { timeout: 600_000 },
    ({ faults, workers, ...expected }) => {
      const { states, quiet, stuck, findings } = run(program, faults, workers);
      console.info(`${states} states, ${quiet} of them quiet`);
      expect(findings.filter(({ kind }) => !expected.cases.includes(kind)).map(tell)).toEqual([]);
      expect(findings.map(({ kind }) => kind).sort()).toEqual([...expected.cases].sort());
      expect(stuck).toBe(0);
      expect(states).toBeGreaterThan(expected.states);
    },
  );
});

describe('a promise is broken without the rule that', () => {
  it.for(mutants.map((mutant) => [mutant.rule, mutant] as const))('%s', async ([, mutant], { annotate }) => {
    const { protocol, times, faults } = mutant;
    const model = { protocol, times, rules: rulesOf(times.settle) };
    const { findings } = run(model, faults, 2, (kind) => broken.includes(kind));
    const violation = findings.find(({ kind }) => broken.includes(kind));
    expect(violation).toBeDefined();
    await annotate(tell(violation as Finding));
  });
});
