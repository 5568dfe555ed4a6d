/** What happens in a run, and when: seeded, and the same for each contender. Pure. */
import type { Fault } from '../../dev/standin/faults.ts';
import { createRandom, type Random } from '../../test/storm/random.ts';

/** How a link came to be replaced, as the table names it. */
export const causes = {
  rotation: 'a rotation',
  crash: 'the worker is killed before it publishes',
  dropped: 'the connection drops after the reset',
  timedOut: 'the reset is not answered in time',
  late: 'the reset takes effect after the timeout',
  byHand: 'a person replaces the link',
} as const;
export type Cause = keyof typeof causes;

/** Something that happens to these groups at the same time. No group is in two of them. */
export interface Step {
  readonly atMs: number;
  readonly cause: Cause;
  readonly groups: readonly number[];
  /** What the first reset of each of these groups meets. Null: it is answered. */
  readonly fault: Fault | null;
}

export interface Plan {
  /** In the order of their times. */
  readonly steps: readonly Step[];
  readonly groups: number;
}

/** The limits of the API in this run, the same for each contender. */
export const timeoutMs = 5_000;
export const settleTimeMs = 15_000;

/** How often each cause occurs. */
const counts: Readonly<Record<Cause, number>> = {
  rotation: 120,
  crash: 5,
  dropped: 30,
  timedOut: 20,
  late: 20,
  byHand: 40,
};
/** Groups whose resets are in flight when the worker is killed. */
const killedAtOnce = 3;
/** A restarted worker gets this long before the next kill. */
const betweenKillsMs = 4_000;

export function makePlan(seed: number, forMs: number): Plan {
  const random = createRandom(seed);
  let groups = 0;
  const take = (count: number) => Array.from({ length: count }, () => groups++);
  const steps = Object.entries(counts).flatMap(([name, count]) => {
    const cause = name as Cause;
    return Array.from({ length: count }, (_, i): Step => {
      const atMs = cause === 'crash' ? killAt(random, i, count, forMs) : random.between(0, forMs);
      return { atMs, cause, groups: take(cause === 'crash' ? killedAtOnce : 1), fault: faultOf(cause, random) };
    });
  });
  return { steps: steps.sort((a, b) => a.atMs - b.atMs), groups };
}

/** Kills are spread over the run. */
function killAt(random: Random, i: number, count: number, forMs: number): number {
  const shareMs = forMs / count;
  return i * shareMs + random.between(0, Math.max(shareMs - betweenKillsMs, 0));
}

function faultOf(cause: Cause, random: Random): Fault | null {
  switch (cause) {
    case 'rotation':
    case 'byHand':
      return null;
    case 'dropped':
      return { kind: 'cut', effect: true };
    // The worker is killed as soon as the link is replaced.
    case 'crash':
    case 'timedOut':
      return { kind: 'silence', effectAfterMs: 0 };
    case 'late':
      return { kind: 'silence', effectAfterMs: timeoutMs + random.between(500, settleTimeMs - timeoutMs - 1_500) };
  }
}
