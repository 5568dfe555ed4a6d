/**
 * The states of groups, as operators see them, and the score under which a group is counted by state. Pure.
 *
 * Each instance has a sorted set of its groups. A score holds what the record says (its rank) and the time at which that
 * turns into another state. So one number is right until the record is written again, the groups in a state are a few
 * ranges of scores, and counting them reads no record.
 */
import { errorCodes } from '../contract/errorCodes.ts';
import { type GroupRecord, isRegistered } from './record.ts';

/** Most urgent first. */
export const groupStates = [
  /** This version cannot read the group's record in Redis. */
  'unreadable_record',
  /** A reset had no answer, so the link may have changed. */
  'uncertain',
  /** The same WhatsApp group as another. */
  'duplicate',
  /** The last rotation failed. */
  'failing',
  /** The rotation has been due for longer than the planner needs. */
  'overdue',
  'rotating',
  /** The API has never shown the link, or failed to show it several times in a row. */
  'unverified',
  /** No link has been published yet. */
  'new',
  'fresh',
  'disabled',
] as const;
export type GroupState = (typeof groupStates)[number];

/** Until it is due, a group is in the one state, then in the other. */
interface Rank {
  readonly rank: number;
  readonly until: GroupState;
  readonly then: GroupState;
  /** Added to the time of the score. */
  readonly graceMs: number;
  /** Of the failure. Null: another state, or a code that this version does not know. */
  readonly code: string | null;
}

/** A tick, a call and some waiting may pass between the due time and the rotation. */
const overdueAfterMs = 60_000;
/** Occasional failed reads are normal. */
const unverifiedAfter = 3;

/** The ranks are stored, so a number is never used again for something else. */
const steady = { unreadable_record: 0, uncertain: 1, duplicate: 2, disabled: 13 } as const;
const resetting = 4;
/** A read is under way. Once its lease has expired, it has no effect on the state. */
const reading = { failing: 20, disabled: 21, unverified: 22, new: 23, fresh: 24, overdue: 25 } as const;
const scheduled = { unverified: 10, new: 11, fresh: 12 } as const;
const failingWithOther = 99;
const failing = 100;

const rank = (number: number, until: GroupState, then = until, graceMs = 0, code: string | null = null): Rank => ({
  rank: number,
  ...{ until, then, graceMs, code },
});
const entries = <T extends Readonly<Partial<Record<GroupState, number>>>>(of: T) =>
  Object.entries(of) as [GroupState, number][];

const ranks: readonly Rank[] = [
  ...entries(steady).map(([state, number]) => rank(number, state)),
  rank(resetting, 'rotating', 'uncertain'),
  ...entries(reading).map(([state, number]) => rank(number, 'rotating', state)),
  ...entries(scheduled).map(([state, number]) => rank(number, state, 'overdue', overdueAfterMs)),
  rank(failingWithOther, 'failing'),
  ...errorCodes.map((code, i) => rank(failing + i, 'failing', 'failing', 0, code)),
];
const byNumber = new Map(ranks.map((one) => [one.rank, one]));

/** Times are below it until the year 2248, and every score is an exact number. */
const rankSize = 2 ** 43;
const never = rankSize - 1;

function scoreOf(number: number, atMs: number | null): number {
  return number * rankSize + Math.min(Math.max(atMs ?? never, 0), never);
}

/** Of a group whose record this version cannot read. */
export const unreadableScore = scoreOf(steady.unreadable_record, 0);

/** Of the record of a group that has this entry, or would have it. */
export function stateScore(record: GroupRecord, enabled: boolean): number {
  const { attempt, uncertain, duplicateOf, failure, dueAt } = record;
  if (uncertain !== null) return scoreOf(steady.uncertain, uncertain.begunAt);
  // Once the lease has expired, the process that made this reset is gone: the reset may have taken effect.
  if (attempt?.call === 'reset') return scoreOf(resetting, attempt.leaseUntil);
  if (duplicateOf !== null) return scoreOf(steady.duplicate, 0);
  if (attempt !== null) {
    const isLate = dueAt !== null && dueAt + overdueAfterMs < attempt.leaseUntil;
    const state = failure !== null ? 'failing' : !enabled ? 'disabled' : isLate ? 'overdue' : linkState(record);
    return scoreOf(reading[state], attempt.leaseUntil);
  }
  if (failure !== null) {
    const code = (errorCodes as readonly string[]).indexOf(failure.code);
    return scoreOf(code === -1 ? failingWithOther : failing + code, failure.since ?? failure.at);
  }
  return enabled ? scoreOf(scheduled[linkState(record)], dueAt) : scoreOf(steady.disabled, 0);
}

function linkState({ link, unverified, revision }: GroupRecord): keyof typeof scheduled {
  const isNeverShown = link === null && unverified > 0;
  if (isNeverShown || unverified >= unverifiedAfter) return 'unverified';
  return revision === null ? 'new' : 'fresh';
}

/** Null if the record belongs to no entry in force. */
export function indexedScore(record: GroupRecord): number | null {
  const isIndexed = isRegistered(record) && !record.replaced;
  return isIndexed ? stateScore(record, record.entry?.enabled === true) : null;
}

export function stateAt(score: number, nowMs: number): GroupState {
  const of = byNumber.get(Math.floor(score / rankSize));
  if (of === undefined) return 'unreadable_record';
  return (score % rankSize) + of.graceMs < nowMs ? of.then : of.until;
}

/** The time within a score. */
export function timeOf(score: number): number {
  return score % rankSize;
}

/** A range of scores, both ends included, whose groups are in one state. */
export interface Segment {
  readonly state: GroupState;
  readonly code: string | null;
  readonly min: number;
  readonly max: number;
}

/** All states at a time, most urgent first. */
export function segmentsAt(nowMs: number): Segment[] {
  const segments = ranks.flatMap(({ rank: number, until, then, graceMs, code }) => {
    const [first, last] = [scoreOf(number, 0), scoreOf(number, never)];
    if (until === then) return [{ state: until, code, min: first, max: last }];
    const turned = scoreOf(number, nowMs - graceMs);
    return [
      { state: then, code, min: first, max: turned - 1 },
      { state: until, code, min: turned, max: last },
    ];
  });
  const order = ({ state }: Segment) => groupStates.indexOf(state);
  return segments.sort((a, b) => order(a) - order(b));
}
