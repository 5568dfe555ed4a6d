/**
 * Carries committed events from the outboxes to the results queues, in the order in which they were committed. Every
 * results queue has an outbox of its own, so one that cannot be written to holds nobody else up, and loses nothing.
 *
 * At least once: a process that dies between adding and striking off leaves events that are added again; BullMQ drops
 * an id that its queue still knows. One publisher at a time and queue, by a lease; who loses it stops.
 */
import { randomUUID } from 'node:crypto';
import type { Queue } from 'bullmq';
import { eventOptions } from '../bullmq/options.ts';
import { openQueues } from '../bullmq/queues.ts';
import { type LinkEvent, linkEvent } from '../contract/event.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const takeLua = loadScript('take', import.meta.url);
const ackLua = loadScript('ack', import.meta.url);

const leaseMs = 5_000;
const batch = 100;

export interface Outbox {
  /** Publishes what is waiting for one queue; returns how many events that were. Rejects if the queue refuses. */
  publish(queue: string): Promise<number>;
  /** The same for several queues; what goes wrong with one is reported to `onError` and holds up no other. */
  publishAll(queues: readonly string[]): Promise<void>;
  /** Events that wait for this queue. */
  waiting(queue: string): Promise<number>;
  queueOf(queue: string): Queue;
  close(): Promise<void>;
}

export interface OutboxOptions {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly prefix: string;
  readonly onError: (queue: string, error: Error) => void;
}

export function createOutbox({ redis, keys, prefix, onError }: OutboxOptions): Outbox {
  const queues = openQueues({ redis, prefix, jobOptions: eventOptions, onError });

  /** Publishing under way in this process; `again`: events were committed since that it may not have seen. */
  const running = new Map<string, { again: boolean; done: Promise<number> }>();

  async function publish(name: string): Promise<number> {
    const current = running.get(name);
    if (current !== undefined) {
      current.again = true;
      return await current.done;
    }
    const mine = { again: true, done: Promise.resolve(0) };
    running.set(name, mine);
    mine.done = carryAll(name, mine);
    return await mine.done;
  }

  async function carryAll(name: string, asked: { again: boolean }): Promise<number> {
    let published = 0;
    try {
      while (asked.again) {
        asked.again = false;
        published += await carry(name);
      }
      return published;
    } finally {
      // At once: whoever commits after the last look starts anew.
      running.delete(name);
    }
  }

  /** Until nothing waits, or somebody else is at it. */
  async function carry(name: string): Promise<number> {
    const publisher = randomUUID();
    const pair = [keys.outbox(name), keys.publisher(name)];
    let published = 0;
    for (;;) {
      const takenAt = performance.now();
      const waiting = (await runScript(redis, takeLua, pair, [publisher, leaseMs, batch])) as string[] | null;
      if (waiting === null) return published;
      const events = firstOfEachGroup(waiting);
      if (events.length > 0) {
        // Frozen for longer than the lease: somebody else has published these, and perhaps newer ones.
        if (performance.now() - takenAt > leaseMs / 2) return published;
        await queues
          .queueOf(name)
          .addBulk(events.map((event) => ({ name: event.type, data: event, opts: { jobId: event.id } })));
      }
      const left = Number(
        await runScript(redis, ackLua, pair, [publisher, events.length, waiting[events.length - 1] ?? '']),
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
 * The oldest events, up to the second one of a group: Redis may refuse one of many that are added at once and take it
 * later, and the order within a group must not depend on that.
 */
function firstOfEachGroup(waiting: readonly string[]): readonly LinkEvent[] {
  const events = new Map<string, LinkEvent>();
  for (const json of waiting) {
    const event = parseEvent(json);
    if (events.has(event.group)) break;
    events.set(event.group, event);
  }
  return [...events.values()];
}

function parseEvent(json: string): LinkEvent {
  return linkEvent.parse(JSON.parse(json));
}
