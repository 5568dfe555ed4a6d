/**
 * Which workers live, as one process sees them. A worker is alive while its beat changes: no two clocks are compared, so
 * setting Redis's clock kills nobody. Time counts in looks, so an outage of Redis, or a process that was stopped, kills
 * nobody either. Pure.
 *
 * A worker that is wrongly counted as dead costs the others some work, and nothing else.
 */

/** What the set of workers holds. */
export interface Look<T> {
  /** The looking worker was in the set itself. Otherwise the set was emptied, or others took this worker for dead. */
  readonly isTrusted: boolean;
  /** Without the looking worker. */
  readonly members: readonly Member<T>[];
}

export interface Member<T> {
  readonly worker: string;
  /** Changes each time the worker announces that it lives. */
  readonly beat: number;
  /** By Redis's clock, the last one was recent, or in the future. */
  readonly isRecent: boolean;
  readonly note: T;
}

export interface Seen<T> {
  readonly beat: number;
  readonly note: T;
  /** Looks in a row that found the same beat, or none. */
  readonly missed: number;
  /** It disappeared from a set that cannot be trusted, so it may live. */
  readonly isLost: boolean;
}

/** By worker. */
export type View<T> = ReadonlyMap<string, Seen<T>>;

/** Between two looks, and between two beats. */
export const beatMs = 2_000;
/** A worker that beats every 2 s is dead after 8 s of silence, or 10 s after its last beat. */
const deadAfterMissed = 4;
/** A worker that this process has never seen alive gets half of that. */
const unprovenMissed = 2;

/** A dead worker stays in the set for a while, because the groups in its file stay registered meanwhile. */
const removedAfterMissed = 10;

export const isLive = ({ missed }: Seen<unknown>) => missed < deadAfterMissed;
export const isRemovable = ({ missed }: Seen<unknown>) => missed >= removedAfterMissed;

/** The view after a look. Keeps the dead, until they are removed from the set. */
export function observe<T>(view: View<T>, { isTrusted, members }: Look<T>): View<T> {
  const next = new Map<string, Seen<T>>();
  for (const { worker, beat, isRecent, note } of members) {
    const before = view.get(worker);
    next.set(worker, { beat, note, missed: missedBy(before, beat, isRecent), isLost: false });
  }
  for (const [worker, seen] of view) {
    if (next.has(worker)) continue;
    // Whoever stops removes itself from the set. It is gone at once, unless more than that has happened to the set.
    if (isTrusted && !seen.isLost) continue;
    const lost = { ...seen, missed: seen.missed + 1, isLost: true };
    if (isLive(lost)) next.set(worker, lost);
  }
  return next;
}

function missedBy(before: Seen<unknown> | undefined, beat: number, isRecent: boolean): number {
  if (before === undefined) return isRecent ? unprovenMissed : deadAfterMissed;
  return before.beat === beat ? before.missed + 1 : 0;
}
