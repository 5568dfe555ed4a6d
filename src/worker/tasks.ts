/** Background tasks of the worker: timers, runs that never overlap, and errors that are logged once a minute. */
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';

export interface Repeated {
  /** Runs the task at once, or once more right after the current run. */
  now(): void;
  /** Waits for the current run. */
  stop(): Promise<void>;
}

/** Runs the task `ms` after its previous run ended. */
export function repeat(ms: number, task: () => Promise<void>, onError: (error: unknown) => void): Repeated {
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let timer = setTimeout(run, ms);

  function run(): void {
    again = false;
    running = task()
      .catch(onError)
      .then(() => {
        running = null;
        if (!stopped) timer = setTimeout(run, again ? 0 : ms);
      });
  }
  return {
    now() {
      again = true;
      if (running !== null || stopped) return;
      clearTimeout(timer);
      run();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

/** Runs of the task never overlap. Calls that come during a run share the next one, which starts once that has ended. */
export function singleFlight(task: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  function start(): Promise<void> {
    next = null;
    current = task().finally(() => {
      current = null;
    });
    return current;
  }

  return () => {
    if (current === null && next === null) return start();
    next ??= (current ?? Promise.resolve()).catch(() => {}).then(start);
    return next;
  };
}

const reportEveryMs = 60_000;
const maxKinds = 1_000;
/**
 * A job's lock expired, as locks do in every outage of Redis. The job runs once more and finds its work done: the group's
 * record decides, not the lock.
 */
const lockLost = /^(could not renew lock|Missing lock|Lock mismatch|Missing key for job)/;

/**
 * Logs errors as `event`: each kind of error once a minute, repetitions at level debug. Errors of the connection are always
 * at level debug, because the Redis client reports an outage itself.
 */
export function reporter(
  log: Logger,
  event: string,
  message: string,
): (error: unknown, about?: Readonly<Record<string, string>>) => void {
  const reportedAt = new Map<string, number>();
  return (error, about = {}) => {
    const nowMs = performance.now();
    const text = error instanceof Error ? error.message : String(error);
    // Errors of one kind differ only in the ids of their jobs.
    const kind = `${Object.values(about).join(' ')} ${text.replace(/\d+|[0-9a-f-]{16,}/g, '')}`;
    const isRecent = nowMs - (reportedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < reportEveryMs;
    const isExpected = !(error instanceof Error) || isConnectionError(error) || lockLost.test(text);
    const level = isRecent || isExpected ? 'debug' : 'error';
    log[level]({ event, ...about, err: error }, `${message}: ${text}`);
    if (level === 'debug') return;
    if (reportedAt.size >= maxKinds) reportedAt.clear();
    reportedAt.set(kind, nowMs);
  };
}
