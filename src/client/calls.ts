/**
 * What every call of the library shares: it ends at its time limit and at `close()`, whether Redis answers or not, and
 * rejects with nothing but a `RotationError`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isTransient } from '../redis/errors.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { RotationError, rotationErrorOf } from './error.ts';

export interface Limit {
  /** Default: as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** What had been done when the time was over. */
  readonly late: () => string;
}

export interface Calls {
  /** `signal`: aborted when nobody waits for the call any more. */
  run<T>(limit: Limit, act: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Rejects the calls that are pending, and those that come later. */
  close(): void;
}

/** The longest time that a timer can wait. */
const maxTimerMs = 2 ** 31 - 1;

export function createCalls(): Calls {
  const pending = new Map<AbortController, Promise<unknown>>();
  let isClosed = false;
  const closed = () => new RotationError('closed', 'this client has been closed');

  function run<T>({ timeoutMs, late }: Limit, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (isClosed) return Promise.reject(closed());
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    const end = () => controller.abort(new RotationError('timeout', late()));
    const timer = timeoutMs === undefined || timeoutMs > maxTimerMs ? undefined : setTimeout(end, timeoutMs);
    const acting = act(signal);
    acting.catch(() => {
      // What fails after the limit has nobody who would hear of it.
    });
    const call = Promise.race([acting, aborted])
      .catch((error: unknown) => {
        throw rotationErrorOf(error);
      })
      .finally(() => {
        clearTimeout(timer);
        pending.delete(controller);
        // Ends what the call has left behind.
        controller.abort();
      });
    pending.set(controller, call);
    return call;
  }

  return {
    run,
    close() {
      isClosed = true;
      for (const [controller, call] of pending) {
        // Its caller has closed the client, so a rejection that it does not handle says nothing new.
        call.catch(() => {});
        controller.abort(closed());
      }
    },
  };
}

const retryMs = 1_000;
const readyPollMs = 50;

/** Repeats what Redis cannot do now until it can, or nobody waits any more. */
export async function untilDone<T>(redis: RedisClient, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      if (redis.status === 'end') throw new RotationError('closed', 'the Redis client that was given has been closed');
      if (!isTransient(error)) throw error;
    }
    await sleep(retryMs, undefined, { signal });
  }
}

/** Until the connection stands. A command that is sent before that would be carried out when nobody waits any more. */
export async function untilReady(redis: RedisClient, signal: AbortSignal): Promise<void> {
  while (redis.status !== 'ready') await sleep(readyPollMs, undefined, { signal });
}
