/** The consumers of the results queues, and whoever watches what is added to those. */
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
    // As docs/messages.md advises: a Redis that is restarted makes jobs stall.
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
  // Redis numbers what is added to a stream by its clock.
  listener.on('added', ({ jobId }, number) => into.push({ id: jobId, at: Number.parseInt(number, 10) }));
  listener.on('error', () => {});
  return listener;
}

/** Where the events lie that were published and did not reach their consumer. */
export async function unseen({ events, added }: History, port: number): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const name of Object.keys(added)) {
    const seen = new Set(events[name]?.map(({ id }) => id));
    const queue = new Queue(name, { connection: { port } });
    for (const { id } of (added[name] ?? []).filter((one) => !seen.has(one.id))) {
      const job = await queue.getJob(id);
      found[`${name} ${id}`] = [await queue.getJobState(id), job?.failedReason, job?.stalledCounter];
    }
    await queue.close();
  }
  return found;
}
