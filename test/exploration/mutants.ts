/** The protocol with one rule removed, by the rule's name. The exploration must detect each removal. */
import { type GroupRecord, isScheduled } from '../../src/groups/record.ts';
import type { Input, Transition } from '../../src/rotation/types.ts';
import { nextDue } from '../../src/schedule/schedule.ts';
import { type Protocol, program } from './model.ts';
import { closingSchedule, type Faults, noFaults, nothing, schedules, type Times, times } from './state.ts';

export interface Mutant {
  readonly rule: string;
  readonly protocol: Protocol;
  readonly times: Times;
  /** The faults without which the rule is not needed. */
  readonly faults: Faults;
  readonly schedule: (typeof schedules)[number];
}

function mutant(rule: string, faults: Partial<Faults>, change: Partial<Protocol>, over: Partial<Mutant> = {}): Mutant {
  const schedule = schedules[0] ?? closingSchedule;
  return { rule, faults: { ...noFaults, ...faults }, protocol: { ...program, ...change }, times, schedule, ...over };
}

/** Changes what a transition returns. */
function afterwards(
  change: (after: Transition, before: GroupRecord, input: Input, nowMs: number) => Transition,
): Partial<Protocol> {
  return {
    transition: (record, input, nowMs, settleTimeMs) =>
      change(program.transition(record, input, nowMs, settleTimeMs), record, input, nowMs),
  };
}

/** Changes what registering an entry makes of a record. */
function onceRegistered(change: (after: GroupRecord, before: GroupRecord) => Partial<GroupRecord>): Partial<Protocol> {
  return {
    withEntry: (record, ...rest) => {
      const after = program.withEntry(record, ...rest);
      return { ...after, ...change(after, record) };
    },
  };
}

const patch = (after: Transition, over: Partial<GroupRecord>): Transition => ({
  ...after,
  record: { ...after.record, ...over },
});

/** The transition as if the attempt that ends owned the record. */
function unfenced(...[record, input, nowMs, settleTimeMs]: Parameters<Protocol['transition']>): Transition {
  if (input.kind !== 'ended') return program.transition(record, input, nowMs, settleTimeMs);
  return program.transition({ ...record, attempt: input.attempt, settled: null }, input, nowMs, settleTimeMs);
}

/** An attempt remembers the entry for which it was made, and its reset is scheduled by that. */
function committedByOldEntry(after: Transition, before: GroupRecord, input: Input, nowMs: number): Transition {
  if (input.kind === 'started') return patch(after, { attempt: { ...input.attempt, entry: before.entry } });
  if (input.kind !== 'ended' || input.outcome?.kind !== 'reset' || after.fenced) return after;
  const old = before.attempt?.entry as GroupRecord['entry'];
  return old?.enabled === true ? patch(after, { dueAt: nextDue(old.schedule, nowMs) }) : after;
}

const ofCalls: readonly Mutant[] = [
  mutant(
    'after an uncertain reset, the link is read back before another is made',
    { deaths: 1 },
    { decide: (record, work, nowMs) => program.decide({ ...record, uncertain: null }, work, nowMs) },
  ),
  mutant(
    'an unchanged link settles nothing while the call may still take effect',
    { deaths: 1 },
    afterwards((after) => {
      const { uncertain } = after.record;
      return uncertain === null ? after : patch(after, { uncertain: { ...uncertain, openUntil: null } });
    }),
  ),
  mutant(
    'a reset whose process died is uncertain',
    { deaths: 1 },
    afterwards((after, before, { kind }) =>
      kind === 'expired' && before.attempt !== null && after.record.attempt === null
        ? { ...after, record: { ...before, attempt: null, settled: before.attempt.id } }
        : after,
    ),
  ),
  mutant(
    'after an uncertain reset, a verification is owed',
    { deaths: 1, humanResets: 1 },
    afterwards((after) => patch(after, { verificationOwedAt: null })),
  ),
  mutant(
    'a verification pays only what was owed when it started',
    { deaths: 1, humanResets: 1 },
    afterwards((after, _, input) =>
      input.kind === 'ended' && input.attempt.call === 'verify' && input.outcome?.kind === 'read'
        ? patch(after, { verificationOwedAt: null })
        : after,
    ),
  ),
  mutant('an attempt that does not own the record stores nothing', { freezes: 1 }, { transition: unfenced }),
  mutant(
    'an attempt that does not own the record publishes nothing',
    { freezes: 1 },
    { transition: (...args) => ({ ...program.transition(...args), events: unfenced(...args).events }) },
  ),
  mutant(
    'a stale reset is read back',
    { freezes: 1 },
    afterwards((after, before) => (after.fenced ? { ...after, record: before } : after)),
  ),
  mutant(
    'postponing a read does not affect a newer attempt',
    { badAnswers: 1 },
    afterwards((after, { attempt }, { kind }) =>
      kind === 'postponed' && attempt !== null ? patch(after, { attempt: null, settled: attempt.id }) : after,
    ),
  ),
  mutant(
    'the lease is checked before sending',
    { deaths: 1 },
    {},
    { times: { ...times, sendWithin: Number.POSITIVE_INFINITY } },
  ),
  mutant(
    'the settle time covers the time until the call is sent, too',
    { deaths: 1 },
    {},
    { times: { ...times, settle: times.effectWithin } },
  ),
  mutant(
    'the window is checked when a scheduled rotation starts, not only when it is released',
    {},
    {
      decide: (record, work, nowMs) => {
        const entry = record.entry === null ? null : { ...record.entry, schedule: schedules[0] ?? closingSchedule };
        return program.decide({ ...record, entry }, work, nowMs);
      },
    },
    { schedule: closingSchedule },
  ),
];

const ofEdits: readonly Mutant[] = [
  mutant('what is unsettled is in an index of its own', { deaths: 1 }, { settleAt: () => null }),
  mutant(
    'a removed group is settled',
    { deaths: 1, edits: 1 },
    { settleAt: (record) => (record.removedAt === null ? program.settleAt(record) : null) },
  ),
  mutant(
    'a disabled group is settled',
    { deaths: 1, edits: 1 },
    { settleAt: (record) => (isScheduled(record) ? program.settleAt(record) : null) },
  ),
  mutant(
    'no work is obsolete while something is unsettled',
    { deaths: 1, edits: 1 },
    {
      decide: (record, work, nowMs) => {
        const isObsolete = record.attempt === null && work.kind !== 'request' && !isScheduled(record);
        return isObsolete ? { do: 'finish', as: 'obsolete' } : program.decide(record, work, nowMs);
      },
    },
  ),
  mutant(
    'attempt and uncertainty belong to the WhatsApp group, not to its id',
    { edits: 1 },
    {
      withEntry: (record, wanted, ...rest) => {
        const isRenamed = record.entry !== null && record.entry.group !== wanted.entry.group;
        const { link, revision } = record;
        const blank = { ...record, attempt: null, uncertain: null, verificationOwedAt: null };
        return program.withEntry(isRenamed ? { ...blank, link, revision } : record, wanted, ...rest);
      },
    },
  ),
  mutant('a commit uses the entry that is registered then', { edits: 1 }, afterwards(committedByOldEntry)),
  mutant(
    'a renamed group publishes its link under its new id',
    { edits: 1 },
    onceRegistered((_, { adopt }) => ({ adopt })),
  ),
  mutant(
    'a group that comes back is read',
    { edits: 2, humanResets: 1 },
    onceRegistered(({ adopt, readDueAt }, before) => ({ readDueAt: adopt ? readDueAt : before.readDueAt })),
  ),
  mutant(
    'a read settles only what was due when it started',
    { edits: 2, humanResets: 1 },
    afterwards((after, _, { kind }) => (kind === 'ended' && !after.fenced ? patch(after, { readDueAt: null }) : after)),
  ),
  mutant(
    'revisions of an id continue when it names another WhatsApp group',
    { edits: 1 },
    { withEntry: (record, desired, jid, _, nowMs) => program.withEntry(record, desired, jid, nothing, nowMs) },
  ),
  mutant(
    'a WhatsApp group whose id was given away publishes nothing under it',
    { edits: 1 },
    { asReplaced: program.withoutEntry },
  ),
];

export const mutants: readonly Mutant[] = [...ofCalls, ...ofEdits];
