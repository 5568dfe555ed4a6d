/** `invite-rotator consume`: takes events off a results queue and prints each as one line of JSON on stdout. */
import { unlessAborted } from '../abort.ts';
import { startEventWorker } from '../client/eventWorker.ts';
import type { Config } from '../config/config.ts';
import { didYouMean } from '../config/nearMiss.ts';
import { linkEvent } from '../contract/event.ts';
import type { Database } from '../redis/database.ts';
import { flushTraces } from '../tracing/spans.ts';
import { CommandError, type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';
import { print } from './output.ts';

export interface ConsumeOptions extends CommonOptions {
  readonly queue?: string;
}

/** Runs until a signal, or until the reader closes the pipe. An event is acknowledged once its line is written. */
export async function consume(options: ConsumeOptions): Promise<number> {
  const config = await readConfig(options);
  const name = options.queue ?? config.results.queues[0] ?? '';
  // Aborted when standard output cannot be written.
  const broken = new AbortController();
  // The failed write reports it.
  process.stdout.on('error', () => {});
  const run = async (db: Database) => {
    await requireKnown(db, config, name);
    const worker = startEventWorker(db, {
      queue: name,
      concurrency: 1,
      async take(job) {
        const event = linkEvent.safeParse(job.data);
        if (!event.success) throw new Error(`job ${job.id} of ${name} is not an event of version 1`);
        await print(`${JSON.stringify(event.data)}\n`).catch((error) => {
          broken.abort(error);
          throw error;
        });
      },
      onError: ({ message }) => process.stderr.write(`${message}\n`),
    });
    // Before the message: a signal sent right after it must not end the process in the middle of a line.
    const stopped = stopSignal();
    process.stderr.write(`consuming ${name}; press Ctrl-C to stop\n`);
    try {
      await unlessAborted(stopped, broken.signal);
      return 0;
    } finally {
      await worker.close();
    }
  };
  try {
    return await withRedis(config.redis, run, { writes: true, refusedForMs: Number.POSITIVE_INFINITY });
  } finally {
    await flushTraces();
  }
}

/** A queue that no worker fills would be waited on forever. One of another kind would lose its jobs. */
async function requireKnown({ redis, keys }: Database, { results }: Config, name: string): Promise<void> {
  const known = [...new Set([...results.queues, ...(await redis.smembers(keys.outboxes))])].sort();
  if (known.includes(name)) return;
  const queues = known.length === 1 ? `the results queue is ${known[0]}` : `the results queues are ${known.join(', ')}`;
  throw new CommandError(
    2,
    `--queue: unknown results queue ${JSON.stringify(name)}${didYouMean(name, known)}; ${queues}`,
  );
}
