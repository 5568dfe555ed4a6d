/**
 * Reads what BullMQ writes of a queue's jobs into its stream of events. BullMQ's own `QueueEvents` stops for good if
 * Redis refuses its first command, and its `close` waits for a Redis that is away.
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
  /** Blocks on this connection. */
  readonly redis: RedisClient;
  readonly stream: string;
  /** By Redis's clock: earlier events are left out. */
  readonly sinceMs: number;
  readonly signal: AbortSignal;
  /** Called with every event, in order. */
  readonly onEvent: (event: JobEvent) => void;
}

const blockMs = 10_000;
const retryMs = 1_000;
const maxEvents = 1_000;

/** Reads until the signal is aborted, through every outage: events that came meanwhile are read afterwards. */
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
