/**
 * Explores the protocol by which a group's link is reset, exhaustively and on the program's own functions: every order
 * of events that a few workers, a late or silent server, deaths, a freeze, lost jobs, edits of the file and a person
 * can cause. A dead link in a quiet state must be one of the listed cases, and the removal of any rule must break a
 * promise. No link is verified periodically: the group settles without that.
 */
import { describe, expect, it } from 'vitest';
import { type Exploration, explore, type Finding } from './explore.ts';
import { inWindow, type Model, mistaken, oneAtATime, program, revisionsGrow } from './model.ts';
import { mutants } from './mutants.ts';
import { asRegistered, comesToRest, isQuiet, judge, live, residuals } from './promises.ts';
import { closingSchedule, type Faults, noFaults, type Start, schedules, startState, times } from './state.ts';

const [byHand, frozenThenKilled, frozenThenSilent, blind, neverAdopted] = residuals.map(({ name }) => name) as [
  string,
  string,
  string,
  string,
  string,
];
const promises = [live, oneAtATime, revisionsGrow, asRegistered, inWindow, comesToRest];

function run(
  model: Model,
  start: Omit<Start, 'link'>,
  faults: Faults,
  stopAt?: (kind: string) => boolean,
): Exploration {
  const starts = (['known', 'unknown'] as const).map((link) => startState({ ...start, link }, faults));
  const checks = { isQuiet, judge, stuck: comesToRest };
  return explore(starts, model, stopAt === undefined ? checks : { ...checks, stopAt });
}

/** For the message of a failed test: the broken promise, and the shortest trace to it. */
function tell({ kind, count, trace }: Finding): string {
  return [`${kind} (${count} times), first:`, ...trace].join('\n  ');
}

interface Case {
  readonly faults: Partial<Faults>;
  readonly workers?: number;
  readonly oneOffs?: number;
  readonly window?: 'closes';
  /** At least this many; fewer would mean that the model has lost something. */
  readonly states: number;
  readonly cases?: readonly string[];
}

const cases: Case[] = [
  { faults: { deaths: 1, badAnswers: 1, humanResets: 1 }, states: 140_000, cases: [byHand, blind, mistaken] },
  { faults: { deaths: 1, freezes: 1, humanResets: 1 }, states: 265_000, cases: [byHand, frozenThenKilled, mistaken] },
  { faults: { freezes: 1, badAnswers: 1 }, states: 320_000, cases: [frozenThenSilent, blind, mistaken] },
  { faults: { deaths: 1, edits: 2 }, states: 200_000 },
  { faults: { badAnswers: 1, edits: 1 }, states: 175_000, cases: [blind] },
  { faults: { freezes: 1, edits: 1 }, states: 220_000 },
  { faults: { deaths: 1, losses: 1, edits: 1 }, states: 100_000 },
  { faults: { humanResets: 1, edits: 2 }, states: 230_000, cases: [byHand] },
  { faults: { deaths: 1, edits: 1 }, oneOffs: 2, states: 55_000 },
  { faults: { deaths: 1, losses: 1 }, oneOffs: 2, states: 13_500 },
  { faults: { badAnswers: 1 }, window: 'closes', states: 15_000, cases: [blind] },
];
const more: Case[] = [
  {
    faults: { freezes: 1, badAnswers: 1, humanResets: 1 },
    states: 1_400_000,
    cases: [byHand, frozenThenSilent, blind, mistaken],
  },
  {
    faults: { deaths: 1, freezes: 1, humanResets: 1 },
    oneOffs: 2,
    states: 900_000,
    cases: [byHand, frozenThenKilled, mistaken],
  },
  { faults: { deaths: 2, badAnswers: 1, humanResets: 1 }, states: 290_000, cases: [byHand, blind, mistaken] },
  { faults: { deaths: 1, freezes: 1, edits: 1 }, states: 1_000_000, cases: [frozenThenKilled, mistaken] },
  { faults: { deaths: 1, badAnswers: 1, edits: 1 }, states: 600_000, cases: [blind] },
  { faults: { badAnswers: 1, edits: 2 }, states: 1_500_000, cases: [blind] },
  { faults: { deaths: 1, losses: 2, edits: 2 }, states: 1_300_000 },
  { faults: { deaths: 2, edits: 2 }, states: 450_000 },
  { faults: { edits: 3 }, states: 320_000, cases: [neverAdopted] },
];
// Takes minutes and some gigabytes: run it after a change of the protocol.
if (process.env.EXPLORE === 'more') cases.push(...more);

describe('the protocol', () => {
  it.each(cases.map((one) => ({ workers: 2, oneOffs: 1, ...one })))(
    'holds with $workers workers, one-offs: $oneOffs, and $faults',
    { timeout: 900_000 },
    ({ faults, workers, oneOffs, window, ...expected }) => {
      const schedule = window === undefined ? schedules[0] : closingSchedule;
      const start = { workers, oneOffs, schedule: schedule ?? closingSchedule };
      const { states, quiet, findings } = run({ protocol: program, times }, start, { ...noFaults, ...faults });
      console.info(`${states} states, ${quiet} of them quiet`);
      const known = expected.cases ?? [];
      expect(findings.filter(({ kind }) => !known.includes(kind)).map(tell)).toEqual([]);
      expect(findings.map(({ kind }) => kind).sort()).toEqual([...known].sort());
      expect(states).toBeGreaterThan(expected.states);
    },
  );
});

describe('a promise is broken without the rule that', () => {
  it.for(mutants.map((mutant) => [mutant.rule, mutant] as const))(
    '%s',
    { timeout: 300_000 },
    async ([, mutant], { annotate }) => {
      const { protocol, times, faults, schedule } = mutant;
      const isPromise = (kind: string) => promises.includes(kind);
      const { findings } = run({ protocol, times }, { workers: 2, oneOffs: 1, schedule }, faults, isPromise);
      const violation = findings.find(({ kind }) => isPromise(kind));
      expect(violation).toBeDefined();
      await annotate(tell(violation as Finding));
    },
  );
});
