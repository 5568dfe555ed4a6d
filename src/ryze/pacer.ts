/**
 * Spaces the calls of a command that reads much, so that a worker with the same token can go on: at most half of the
 * token's limit, and none while others have left less than half of it. One pacer serves one token; its calls take turns.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallFailure, RateLimit } from './outcome.ts';

export interface Pacer {
  /** Makes the call when it is its turn. A call that was refused because of the limit is made again. */
  run<T extends Paced>(call: () => Promise<T>): Promise<T>;
  /** Calls in each window, as far as is known. */
  perWindow(): number;
}

interface Paced {
  readonly kind: string;
  readonly rateLimit?: RateLimit | null;
}

interface Clock {
  now(): number;
  sleep(ms: number): Promise<unknown>;
}

/** How often a call is made again that the limit refused. */
const maxRepeats = 3;
/** A server's counter that resets later than this is not waited for. */
const maxWaitMs = 10 * 60_000;

const realClock: Clock = { now: () => performance.now(), sleep: (ms) => sleep(ms) };

/** `max`, `perMs`: the token's limit as the file has it. The server may show a lower one. */
export function createPacer({ max, perMs }: { max: number; perMs: number }, clock = realClock): Pacer {
  let limit = max;
  /** When each recent call was answered, oldest first: until then, the server may not have counted it. */
  let answeredAt: number[] = [];
  let closedUntil = 0;
  let last: Promise<unknown> = Promise.resolve();
  const half = () => Math.max(Math.floor(limit / 2), 1);

  async function turn(): Promise<void> {
    for (;;) {
      const nowMs = clock.now();
      answeredAt = answeredAt.filter((at) => at > nowMs - perMs);
      const oldest = answeredAt.at(-half());
      const openAt = Math.max(closedUntil, oldest === undefined ? 0 : oldest + perMs);
      if (openAt <= nowMs) return;
      await clock.sleep(openAt - nowMs);
    }
  }

  function learn({ rateLimit }: Paced): void {
    answeredAt.push(clock.now());
    if (rateLimit == null) return;
    limit = Math.min(max, rateLimit.limit);
    if (rateLimit.remaining <= rateLimit.limit / 2) close(rateLimit.resetInMs);
  }

  function close(ms: number): void {
    closedUntil = clock.now() + Math.min(ms, maxWaitMs);
  }

  async function inTurn<T extends Paced>(call: () => Promise<T>): Promise<T> {
    for (let repeats = 0; ; repeats++) {
      await turn();
      const outcome = await call();
      learn(outcome);
      if (!isOverLimit(outcome) || repeats === maxRepeats) return outcome;
      close(outcome.retryAfterMs ?? outcome.rateLimit?.resetInMs ?? perMs);
    }
  }

  return {
    run(call) {
      const result = last.then(() => inTurn(call));
      last = result.catch(() => {});
      return result;
    },
    perWindow: half,
  };
}

function isOverLimit<T extends Paced>(outcome: T): outcome is T & CallFailure {
  return 'code' in outcome && outcome.code === 'rate_limited';
}
