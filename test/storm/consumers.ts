/** The consumers of the results queues, and a listener that records what is added to each queue. */
import { Queue, QueueEvents, Worker } from 'bullmq';
import type { History, SeenEvent } from './history.ts';

export interface Consumers {
  readonly events: Readonly<Record<string, readonly SeenEvent[]>>;
  readonly added: History['added'];
  close(): Promise<void>;
}

export async function startConsumers(queues: readonly string[], port: number): Promise<Consumers> {
  const events: Record<string, SeenEvent[]> = {};
  const added: Record<string, { id: string; at: number }[]> = {};
  const opened = queues.flatMap((queue) => {
    const [received, published] = [[], []];
    events[queue] = received;
    added[queue] = published;
    return [watch(queue, port, published), consume(queue, port, received)];
  });
  await Promise.all(opened.map((one) => one.waitUntilReady()));
  return {
    events,
    added,
    async close() {
      await Promise.all(opened.map((one) => (one instanceof Worker ? one.close(true) : one.close())));
    },
  };
}

function consume(queue: string, port: number, into: SeenEvent[]): Worker {
  const worker = new Worker<SeenEvent>(
    queue,
    // biome-ignore lint/suspicious/useAwait: BullMQ wants a promise.
    async (job) => {
      into.push({ ...job.data, receivedAt: Date.now() });
    },
    // As docs/messages.md advises, because a restart of Redis makes jobs stall.
    { connection: { port, maxRetriesPerRequest: null }, maxStalledCount: 1_000_000, runRetryDelay: 1_000 },
  );
  worker.on('error', () => {});
  return worker;
}

function watch(queue: string, port: number, into: { id: string; at: number }[]): QueueEvents {
  const listener = new QueueEvents(queue, {
    connection: { port, maxRetriesPerRequest: null },
    lastEventId: '0',
  });
  // The id of a stream entry starts with the time on Redis's clock.
  listener.on('added', ({ jobId }, entryId) => into.push({ id: jobId, at: Number.parseInt(entryId, 10) }));
  listener.on('error', () => {});
  return listener;
}

/** Finds the events that were published but did not reach their consumer, with the state of their jobs. */
export async function undelivered({ events, added }: History, port: number): Promise<Record<string, unknown>> {
  const lost: Record<string, unknown> = {};
  for (const name of Object.keys(added)) {
    const seen = new Set(events[name]?.map(({ id }) => id));
    const queue = new Queue(name, { connection: { port } });
    for (const { id } of (added[name] ?? []).filter((one) => !seen.has(one.id))) {
      const job = await queue.getJob(id);
      lost[`${name} ${id}`] = [await queue.getJobState(id), job?.failedReason, job?.stalledCounter];
    }
    await queue.close();
  }
  return lost;
}
