/**
 * Publishes committed events from the outboxes to the results queues, in the order of their commits. Each results queue
 * has an outbox of its own, so a queue that cannot be written to delays no other and loses nothing.
 *
 * Publishes at least once: if a process dies between adding an event and its acknowledgement, the event is added again,
 * and BullMQ ignores an id that its queue still knows. A lease makes sure that each queue has one publisher at a time.
 */

import { randomUUID } from 'node:crypto';
import type { Queue } from 'bullmq';
import { eventOptions } from '../bullmq/options.ts';
import { addTraced, openQueues, type TracedJob } from '../bullmq/queues.ts';
import { type LinkEvent, linkEvent } from '../contract/event.ts';
import { failedMs } from '../groups/failedOneOffs.ts';
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { traceOf, withTrace } from '../tracing/spans.ts';

const peekLua = loadScript('peek', import.meta.url);
const ackLua = loadScript('ack', import.meta.url);
const appendLua = loadScript('append', import.meta.url);

const leaseMs = 5_000;
const batch = 100;

export interface Outbox {
  /** Publishes the events that wait for one queue and returns their number. Rejects if the queue refuses one. */
  publish(queue: string): Promise<number>;
  /** Publishes to several queues. Failures are reported to `onError` and delay no other queue. */
  publishAll(queues: readonly string[]): Promise<void>;
  /** Events that wait for the queue. */
  waiting(queue: string): Promise<number>;
  queueOf(queue: string): Queue;
  close(): Promise<void>;
}

export interface OutboxOptions extends Database {
  readonly onError: (queue: string, error: Error) => void;
}

export function createOutbox({ redis, keys, prefix, onError }: OutboxOptions): Outbox {
  const queues = openQueues({ redis, prefix, jobOptions: eventOptions, onError });

  /** The runs of this process. `again`: events were committed since, which the run may not have seen. */
  const running = new Map<string, { again: boolean; done: Promise<number> }>();

  async function publish(name: string): Promise<number> {
    const current = running.get(name);
    if (current !== undefined) {
      current.again = true;
      return await current.done;
    }
    const mine = { again: true, done: Promise.resolve(0) };
    running.set(name, mine);
    mine.done = publishAgain(name, mine);
    return await mine.done;
  }

  async function publishAgain(name: string, run: { again: boolean }): Promise<number> {
    let published = 0;
    try {
      while (run.again) {
        run.again = false;
        published += await drain(name);
      }
      return published;
    } finally {
      // In the same turn as the last check of `again`: the next commit starts a new run.
      running.delete(name);
    }
  }

  /** Publishes until the outbox is empty, or until another publisher holds the lease. */
  async function drain(name: string): Promise<number> {
    const publisher = randomUUID();
    const outboxKeys = [keys.outbox(name), keys.publisher(name)];
    let published = 0;
    for (;;) {
      const readAt = performance.now();
      const waiting = (await runScript(redis, peekLua, outboxKeys, [publisher, leaseMs, batch])) as string[] | null;
      if (waiting === null) return published;
      const events = firstOfEachGroup(waiting);
      if (events.length > 0) {
        // If this process was frozen beyond its lease, another publisher has published these and perhaps newer ones.
        if (performance.now() - readAt > leaseMs / 2) return published;
        await addTraced(queues.queueOf(name), 'publish', events);
      }
      const left = Number(
        await runScript(redis, ackLua, outboxKeys, [publisher, events.length, waiting[events.length - 1] ?? '']),
      );
      published += events.length;
      if (left <= 0) return published;
    }
  }

  return {
    publish,
    async publishAll(names) {
      await Promise.all(
        names.map((name) =>
          publish(name).catch((error: unknown) =>
            onError(name, error instanceof Error ? error : new Error(String(error))),
          ),
        ),
      );
    },
    waiting: (name) => redis.llen(keys.outbox(name)),
    ...queues,
  };
}

/**
 * Reports the failure of a one-off that belongs to no record, unless it was reported before. To all queues or to none,
 * since whoever fails to report it makes another event. `reason`: the job's.
 */
export async function appendFailure(
  { redis, keys }: Pick<Database, 'redis' | 'keys'>,
  queues: readonly string[],
  { event, identity, reason }: { readonly event: LinkEvent; readonly identity: string; readonly reason: string },
): Promise<void> {
  const failureKeys = [keys.failedOneOff(identity), ...queues.map(keys.outbox)];
  await runScript(redis, appendLua, failureKeys, [JSON.stringify(withTrace(event)), reason, failedMs]);
}

/**
 * The oldest events up to the second one of any group. Redis may refuse one of several jobs that are added together
 * and accept it later, and the order within a group must not depend on that.
 */
function firstOfEachGroup(waiting: readonly string[]): readonly TracedJob[] {
  const events = new Map<string, TracedJob>();
  for (const json of waiting) {
    const stored: unknown = JSON.parse(json);
    const event = linkEvent.parse(stored);
    const { group, instance, type, revision, reason } = event;
    if (events.has(group)) break;
    const about = { 'messaging.message.id': event.id, event: type, group, instance, revision, reason };
    events.set(group, { name: type, data: event, opts: { jobId: event.id }, about, context: traceOf(stored) });
  }
  return [...events.values()];
}
