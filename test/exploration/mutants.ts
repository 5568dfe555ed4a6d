/** The protocol with one rule taken out of it, each by its name: what the exploration has to find. */
import type { GroupRecord } from '../../src/groups/record.ts';
import { decide, type Happening, type Outcome, transition } from '../../src/rotation/attempt.ts';
import { type Faults, type Times, times } from './state.ts';
import type { Protocol } from './steps.ts';

export interface Mutant {
  readonly rule: string;
  readonly protocol: Protocol;
  readonly times: Times;
  /** What it takes for the rule to be missed. */
  readonly faults: Faults;
}

const none: Faults = { deaths: 0, freezes: 0, badAnswers: 0, humanResets: 0 };
const kept: Protocol = { decide, transition };

/** The same, but for what becomes of a record in the end. */
function afterwards(
  change: (outcome: Outcome, before: GroupRecord, happening: Happening, nowMs: number) => Outcome,
): Protocol {
  return {
    decide,
    transition: (record, happening, nowMs, rules) =>
      change(transition(record, happening, nowMs, rules), record, happening, nowMs),
  };
}

const patch = (outcome: Outcome, over: Partial<GroupRecord>): Outcome => ({
  ...outcome,
  record: { ...outcome.record, ...over },
});

/** What would become of it if the attempt that ends owned the record. */
function unfenced(...[record, happening, nowMs, rules]: Parameters<typeof transition>): Outcome {
  if (happening.kind !== 'ends') return transition(record, happening, nowMs, rules);
  return transition({ ...record, attempt: happening.attempt, settled: null }, happening, nowMs, rules);
}

export const mutants: readonly Mutant[] = [
  {
    rule: 'after an uncertain reset, the link is read back before another is made',
    protocol: { decide: (record, work, nowMs) => decide({ ...record, uncertain: null }, work, nowMs), transition },
    times,
    faults: { ...none, deaths: 1 },
  },
  {
    rule: 'an unchanged link settles nothing while the call may still take effect',
    protocol: afterwards((outcome) => {
      const { uncertain } = outcome.record;
      return uncertain === null ? outcome : patch(outcome, { uncertain: { ...uncertain, openUntil: null } });
    }),
    times,
    faults: { ...none, deaths: 1 },
  },
  {
    rule: 'a reset whose process died is uncertain',
    protocol: afterwards((outcome, before, { kind }) =>
      kind === 'lapses' && before.attempt !== null && outcome.record.attempt === null
        ? { ...outcome, record: { ...before, attempt: null, settled: before.attempt.id } }
        : outcome,
    ),
    times,
    faults: { ...none, deaths: 1 },
  },
  {
    rule: 'after an uncertain reset, a verification is owed',
    protocol: afterwards((outcome) => patch(outcome, { verificationOwedAt: null })),
    times,
    faults: { ...none, deaths: 1, humanResets: 1 },
  },
  {
    rule: 'a verification pays only what was owed when it began',
    protocol: afterwards((outcome, _, happening) =>
      happening.kind === 'ends' && happening.attempt.call === 'verify' && happening.ending.as === 'read'
        ? patch(outcome, { verificationOwedAt: null })
        : outcome,
    ),
    times,
    faults: { ...none, deaths: 1, humanResets: 1 },
  },
  {
    rule: 'an attempt that does not own the record stores nothing',
    protocol: { decide, transition: unfenced },
    times,
    faults: { ...none, freezes: 1 },
  },
  {
    rule: 'an attempt that does not own the record publishes nothing',
    protocol: {
      decide,
      transition: (...happened) => ({ ...transition(...happened), events: unfenced(...happened).events }),
    },
    times,
    faults: { ...none, freezes: 1 },
  },
  {
    rule: 'a reset that was made out of turn is read back',
    protocol: afterwards((outcome, before) => (outcome.fenced ? { ...outcome, record: before } : outcome)),
    times,
    faults: { ...none, freezes: 1 },
  },
  {
    rule: 'putting a verification off leaves alone who has begun since',
    protocol: afterwards((outcome, { attempt }, { kind }) =>
      kind === 'postponed' && attempt !== null ? patch(outcome, { attempt: null, settled: attempt.id }) : outcome,
    ),
    times,
    faults: { ...none, badAnswers: 1 },
  },
  {
    rule: 'the lease is checked before sending',
    protocol: kept,
    times: { ...times, sendWithin: Number.POSITIVE_INFINITY },
    faults: { ...none, deaths: 1 },
  },
  {
    rule: 'the settle time covers the time until the sending, too',
    protocol: kept,
    times: { ...times, settle: times.effectWithin },
    faults: { ...none, deaths: 1 },
  },
];
