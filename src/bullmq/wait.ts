/**
 * Waits for the ends of jobs on one queue. One connection reads the events that BullMQ writes for the queue, for any
 * number of jobs. What no event shows (a queue that was drained, obliterated or paused, or a trimmed event) is found by
 * reading the jobs themselves every few seconds, some of them at a time.
 *
 * BullMQ's own `QueueEvents` stops forever if Redis refuses its first command, and its `close` waits for an unreachable
 * Redis.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../redis/database.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const jobStatesLua = loadScript('jobStates', import.meta.url);

/** `failed`: the message is the job's reason; `removed`: its end is unknown; `paused`: it stays queued. */
export type NoResult = 'failed' | 'removed' | 'paused';

/** A job gave no result. */
export class NoResultError extends Error {
  override readonly name = 'NoResultError';
  readonly why: NoResult;

  constructor(why: NoResult, message: string) {
    super(message);
    this.why = why;
  }
}

export interface JobWaiter {
  /**
   * Resolves with the job's return value; rejects with a `NoResultError` or the signal's reason, never unhandled. Call
   * it before the job is pushed, so that no event is missed. `sinceMs`: a time before the push, by Redis's clock.
   */
  resultOf(jobId: string, sinceMs: number, signal: AbortSignal): Promise<unknown>;
  /** Call it when the job is on its queue: a job that is missing from then on was removed. */
  pushed(jobId: string): void;
  close(): void;
}

interface Waiting {
  isPushed: boolean;
  readonly stopListening: () => void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const checkEveryMs = 3_000;
/** Jobs read at each check. */
const maxJobs = 100;

/** `duplicate` opens the connection that reads events. */
export function createJobWaiter({ redis, prefix }: Database, duplicate: () => RedisClient, queue: string): JobWaiter {
  const keyOf = (name: string) => `${prefix}:${queue}:${name}`;
  const closing = new AbortController();
  /** By job id. The jobs that were checked last come last. */
  const waiting = new Map<string, Waiting>();
  let isReading = false;
  let isChecking = false;
  let timer: NodeJS.Timeout | undefined;

  function start(sinceMs: number): void {
    timer ??= setInterval(() => void check(), checkEveryMs);
    if (!isReading) void readEvents(duplicate(), { stream: keyOf('events'), sinceMs, signal: closing.signal, onEvent });
    isReading = true;
  }

  function settle(jobId: string, end: (job: Waiting) => void): void {
    const job = waiting.get(jobId);
    if (job === undefined) return;
    waiting.delete(jobId);
    job.stopListening();
    if (waiting.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
    end(job);
  }

  function complete(jobId: string, json = 'null'): void {
    settle(jobId, ({ resolve, reject }) => {
      try {
        resolve(JSON.parse(json));
      } catch (error) {
        reject(error);
      }
    });
  }

  function fail(jobId: string, why: NoResult, message: string): void {
    settle(jobId, ({ reject }) => reject(new NoResultError(why, message)));
  }

  function onEvent({ event, jobId = '', returnvalue, failedReason = '' }: JobEvent): void {
    if (event === 'completed') complete(jobId, returnvalue);
    else if (event === 'failed') fail(jobId, 'failed', failedReason);
    else if (event === 'removed') fail(jobId, 'removed', `job ${jobId} was removed from ${queue}`);
  }

  /** Checks do not overlap: a late reply must not be applied to jobs that were pushed after its command. */
  async function check(): Promise<void> {
    if (isChecking) return;
    isChecking = true;
    try {
      // A missing job may mean that the queue was emptied, so then all jobs are checked at once.
      if (await settleEnded(pushedJobs().slice(0, maxJobs))) await settleEnded(pushedJobs());
    } catch {
      // Redis refuses: the next check does it.
    } finally {
      isChecking = false;
    }
  }

  function pushedJobs(): string[] {
    return [...waiting].flatMap(([jobId, { isPushed }]) => (isPushed ? [jobId] : []));
  }

  /** Settles the jobs that have ended; returns whether one is missing. */
  async function settleEnded(jobIds: readonly string[]): Promise<boolean> {
    if (jobIds.length === 0) return false;
    const states = (await runScript(redis, jobStatesLua, ['meta', ...jobIds].map(keyOf), [])) as [string, string][];
    for (const [i, jobId] of jobIds.entries()) {
      const [state = '', value = ''] = states[i] ?? [];
      if (state === 'completed') complete(jobId, value);
      else if (state === 'failed') fail(jobId, 'failed', value);
      else if (state === 'paused') fail(jobId, 'paused', `${queue} is paused: resume it; the request stays queued`);
      else if (state === 'missing') {
        fail(jobId, 'removed', `job ${jobId} is no longer on ${queue}: it was removed, or the queue was emptied`);
      } else moveToEnd(jobId);
    }
    return states.some(([state]) => state === 'missing');
  }

  function moveToEnd(jobId: string): void {
    const job = waiting.get(jobId);
    if (job === undefined) return;
    waiting.delete(jobId);
    waiting.set(jobId, job);
  }

  return {
    resultOf(jobId, sinceMs, signal) {
      const result = new Promise<unknown>((resolve, reject) => {
        const stop = () => settle(jobId, () => reject(signal.reason));
        const stopListening = () => signal.removeEventListener('abort', stop);
        waiting.set(jobId, { isPushed: false, stopListening, resolve, reject });
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop, { once: true });
      });
      // It may end before the caller awaits it.
      result.catch(() => {});
      if (!signal.aborted) start(sinceMs);
      return result;
    },
    pushed(jobId) {
      const job = waiting.get(jobId);
      if (job !== undefined) job.isPushed = true;
    },
    close() {
      closing.abort();
      clearInterval(timer);
    },
  };
}

/** As BullMQ writes it. A completed job's `returnvalue` is JSON. */
type JobEvent = Partial<Record<'event' | 'jobId' | 'returnvalue' | 'failedReason', string>>;

interface ReadOptions {
  readonly stream: string;
  /** Earlier events are skipped. By Redis's clock. */
  readonly sinceMs: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: JobEvent) => void;
}

const blockMs = 10_000;
const retryMs = 1_000;
const maxEvents = 1_000;

/** Passes on every event in order, until the signal is aborted. Events written during an outage are read after it. */
async function readEvents(redis: RedisClient, { stream, sinceMs, signal, onEvent }: ReadOptions): Promise<void> {
  let last = `${sinceMs}-0`;
  while (!signal.aborted) {
    try {
      const read = await redis.xread('COUNT', maxEvents, 'BLOCK', blockMs, 'STREAMS', stream, last);
      for (const [id, fields] of read?.[0]?.[1] ?? []) {
        last = id;
        if (!signal.aborted) onEvent(pairsOf(fields));
      }
    } catch {
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** Redis replies with names and values in turn. */
function pairsOf(fields: readonly string[]): Record<string, string> {
  const names = fields.filter((_, i) => i % 2 === 0);
  return Object.fromEntries(names.map((name, i) => [name, fields[2 * i + 1] ?? '']));
}
