/**
 * Bounds the library's calls. A call ends at its time limit and at `close()`, whether or not Redis answers, and rejects
 * only with a `RotationError`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../abort.ts';
import { isTransient } from '../redis/errors.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { RotationError, rotationErrorOf } from './error.ts';

export interface Limit {
  /** Default: no limit. */
  readonly timeoutMs: number | undefined;
  /** The message of the time-out, which says how far the call got. */
  readonly lateMessage: () => string;
}

/** The longest time that a timer can wait. */
const maxTimerMs = 2 ** 31 - 1;

export function createCalls() {
  const pending = new Map<AbortController, Promise<unknown>>();
  let isClosed = false;
  const closed = () => new RotationError('closed', 'this client has been closed');

  /** `signal` is aborted when the call has ended. */
  function run<T>({ timeoutMs, lateMessage }: Limit, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (isClosed) return Promise.reject(closed());
    const controller = new AbortController();
    const end = () => controller.abort(new RotationError('timeout', lateMessage()));
    const timer = timeoutMs === undefined || timeoutMs > maxTimerMs ? undefined : setTimeout(end, timeoutMs);
    const call = unlessAborted(act(controller.signal), controller.signal)
      .catch((error: unknown) => {
        throw rotationErrorOf(error);
      })
      .finally(() => {
        clearTimeout(timer);
        pending.delete(controller);
        controller.abort();
      });
    pending.set(controller, call);
    return call;
  }

  return {
    run,
    /** Rejects pending and later calls. */
    close() {
      isClosed = true;
      for (const [controller, call] of pending) {
        // The caller has closed the client, so this rejection may stay unhandled.
        call.catch(() => {});
        controller.abort(closed());
      }
    },
  };
}

const retryMs = 1_000;
const readyPollMs = 50;

/** Repeats what Redis cannot do now. Rejects with the last error when the signal is aborted; does nothing after that. */
export async function retryTransient<T>(redis: RedisClient, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (redis.status === 'end')
        throw new RotationError('closed', 'the Redis client passed to this library has been closed');
      if (!isTransient(error)) throw error;
      await sleep(retryMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) throw error;
    }
  }
}

/** Resolves when the connection is ready. A command sent before that could still be executed after the call has ended. */
export async function untilReady(redis: RedisClient, signal: AbortSignal): Promise<void> {
  while (redis.status !== 'ready') await sleep(readyPollMs, undefined, { signal });
}
