/**
 * Waits for the ends of jobs on one queue: one connection reads the queue's events, however many jobs are waited for. What
 * no event shows (a drained, obliterated or paused queue, an event that was trimmed) is found out by looking at the
 * jobs now and then, some of them at a time.
 */
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import { type JobEvent, readJobEvents } from './jobEvents.ts';

const lookLua = loadScript('look', import.meta.url);

/** `failed`: with the job's own reason; `removed`: nobody knows how it ended; `paused`: it stays queued. */
export type NoResult = 'failed' | 'removed' | 'paused';

/** A job that was waited for, and gave no result. */
export class NoResultError extends Error {
  override readonly name = 'NoResultError';
  readonly why: NoResult;

  constructor(why: NoResult, message: string) {
    super(message);
    this.why = why;
  }
}

export interface Expected {
  /** To be told once the job was pushed: one that is missing from then on was removed. */
  pushed(): void;
  /** Resolves with the job's return value; rejects with a `NoResultError`, or with the signal's reason. */
  readonly end: Promise<unknown>;
}

export interface JobWaiter {
  /** Waits for the end of a job. Called before it is pushed, no event of it is missed. `sinceMs`: before the push. */
  expect(jobId: string, sinceMs: number, signal: AbortSignal): Expected;
  close(): void;
}

export interface JobWaiterOptions {
  readonly redis: RedisClient;
  /** Opens the connection that reads events. */
  readonly duplicate: () => RedisClient;
  readonly prefix: string;
  readonly queue: string;
}

const lookEveryMs = 3_000;
/** Jobs that are looked at each time. */
const maxLooks = 100;

interface Waiting {
  isPushed: boolean;
  /** Stops listening to the signal. */
  readonly off: () => void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export function createJobWaiter({ redis, duplicate, prefix, queue }: JobWaiterOptions): JobWaiter {
  const closing = new AbortController();
  /** Those that were looked at last come last. */
  const waiting = new Map<string, Waiting>();
  let isReading = false;
  let timer: NodeJS.Timeout | undefined;
  let looking = Promise.resolve();

  function start(sinceMs: number): void {
    timer ??= setInterval(() => lookAt([...waiting.keys()].slice(0, maxLooks)), lookEveryMs);
    if (isReading) return;
    isReading = true;
    const { signal } = closing;
    void readJobEvents({ redis: duplicate(), stream: `${prefix}:${queue}:events`, sinceMs, signal, onEvent: hear });
  }

  function settle(jobId: string): Waiting | undefined {
    const job = waiting.get(jobId);
    job?.off();
    waiting.delete(jobId);
    if (waiting.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
    return job;
  }

  function complete(jobId: string, json: string | undefined): void {
    const job = settle(jobId);
    try {
      job?.resolve(JSON.parse(json ?? 'null'));
    } catch (error) {
      job?.reject(error);
    }
  }

  const fail = (jobId: string, why: NoResult, message: string) =>
    settle(jobId)?.reject(new NoResultError(why, message));

  function hear({ event, jobId, returnvalue, failedReason }: JobEvent): void {
    if (!waiting.has(jobId)) return;
    if (event === 'completed') complete(jobId, returnvalue);
    else if (event === 'failed') fail(jobId, 'failed', failedReason ?? '');
    else if (event === 'removed') fail(jobId, 'removed', `job ${jobId} was removed from ${queue}`);
  }

  /** One after the other: an answer that comes late must not meet jobs that were pushed since. */
  function lookAt(jobIds: readonly string[]): void {
    looking = looking.then(async () => {
      const pushed = jobIds.filter((jobId) => waiting.get(jobId)?.isPushed);
      if (pushed.length === 0) return;
      // What Redis refuses now is asked again the next time.
      const isAnyMissing = await look(pushed).catch(() => false);
      if (isAnyMissing)
        await look([...waiting].flatMap(([jobId, { isPushed }]) => (isPushed ? [jobId] : []))).catch(() => {});
    });
  }

  /** Settles those that have ended; whether one is missing. */
  async function look(jobIds: readonly string[]): Promise<boolean> {
    if (jobIds.length === 0) return false;
    const keys = [`${prefix}:${queue}:meta`, ...jobIds.map((jobId) => `${prefix}:${queue}:${jobId}`)];
    const found = (await runScript(redis, lookLua, keys, [])) as [string, string][];
    let isAnyMissing = false;
    for (const [i, jobId] of jobIds.entries()) {
      const [state = '', value] = found[i] ?? [];
      if (state === 'completed') complete(jobId, value);
      else if (state === 'failed') fail(jobId, 'failed', value ?? '');
      else if (state === 'paused') fail(jobId, 'paused', `${queue} is paused: resume it; the request stays queued`);
      else if (state === 'missing') {
        isAnyMissing = true;
        fail(jobId, 'removed', `job ${jobId} is no longer on ${queue}: it was removed, or the queue was emptied`);
      } else lookLater(jobId);
    }
    return isAnyMissing;
  }

  function lookLater(jobId: string): void {
    const job = waiting.get(jobId);
    if (job === undefined) return;
    waiting.delete(jobId);
    waiting.set(jobId, job);
  }

  return {
    expect(jobId, sinceMs, signal) {
      const { promise, resolve, reject } = withResolvers();
      promise.catch(() => {
        // Whoever waits for it hears of it; it may end before anybody does.
      });
      const stop = () => settle(jobId)?.reject(signal.reason);
      const job: Waiting = { isPushed: false, off: () => signal.removeEventListener('abort', stop), resolve, reject };
      waiting.set(jobId, job);
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
      start(sinceMs);
      return {
        pushed() {
          job.isPushed = true;
        },
        end: promise,
      };
    },
    close() {
      closing.abort();
      clearInterval(timer);
    },
  };
}

function withResolvers() {
  let resolve: (value: unknown) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<unknown>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
