/**
 * Reads the events that BullMQ writes about a queue's jobs to a stream. BullMQ's own `QueueEvents` stops forever if Redis
 * refuses its first command, and its `close` waits for a Redis that is away.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisClient } from '../redis/scripts.ts';

export interface JobEvent {
  /** `completed`, `failed`, `removed`, and others. */
  readonly event: string;
  readonly jobId: string;
  /** Of a completed job, as JSON. */
  readonly returnvalue?: string;
  readonly failedReason?: string;
}

export interface ReadJobEvents {
  /** A connection for these reads alone, because they block. */
  readonly redis: RedisClient;
  readonly stream: string;
  /** Earlier events are skipped. By Redis's clock. */
  readonly sinceMs: number;
  readonly signal: AbortSignal;
  /** Called with every event, in order. */
  readonly onEvent: (event: JobEvent) => void;
}

const blockMs = 10_000;
const retryMs = 1_000;
const maxEvents = 1_000;

/** Reads until the signal is aborted. Events written during an outage are read after it. */
export async function readJobEvents({ redis, stream, sinceMs, signal, onEvent }: ReadJobEvents): Promise<void> {
  let last = `${sinceMs}-0`;
  while (!signal.aborted) {
    try {
      const read = await redis.xread('COUNT', maxEvents, 'BLOCK', blockMs, 'STREAMS', stream, last);
      for (const [id, fields] of read?.[0]?.[1] ?? []) {
        last = id;
        if (!signal.aborted) onEvent(parseFields(fields));
      }
    } catch {
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }
}

function parseFields(fields: readonly string[]): JobEvent {
  const pairs: Record<string, string> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) pairs[fields[i] as string] = fields[i + 1] as string;
  return { ...pairs, event: pairs.event ?? '', jobId: pairs.jobId ?? '' };
}
