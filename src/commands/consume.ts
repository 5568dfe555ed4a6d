/** `invite-rotator consume`: takes events off a results queue and prints each as one line of JSON on stdout. */
import { startEventWorker } from '../client/eventWorker.ts';
import { linkEvent } from '../contract/event.ts';
import type { Database } from '../redis/database.ts';
import { type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';

export interface ConsumeOptions extends CommonOptions {
  readonly queue?: string;
}

/** Runs until a signal, or until the reader closes the pipe. An event is acknowledged once its line is written. */
export async function consume(options: ConsumeOptions): Promise<number> {
  const config = await readConfig(options);
  const name = options.queue ?? config.results.queues[0] ?? '';
  const run = async (db: Database) => {
    const worker = startEventWorker(db, {
      queue: name,
      concurrency: 1,
      async take(job) {
        const event = linkEvent.safeParse(job.data);
        if (!event.success) throw new Error(`job ${job.id} of ${name} is not an event of version 1`);
        await writeLine(JSON.stringify(event.data));
      },
      onError: ({ message }) => process.stderr.write(`${message}\n`),
    });
    // Before the message: a signal sent right after it must not end the process in the middle of a line.
    const stopped = stopSignal();
    process.stderr.write(`consuming ${name}; press Ctrl-C to stop\n`);
    const closed = new Promise<void>((resolve) => process.stdout.once('error', () => resolve()));
    await Promise.race([stopped, closed]);
    await worker.close();
    return 0;
  };
  return await withRedis(config.redis, run, { writes: true, refusedForMs: Number.POSITIVE_INFINITY });
}

function writeLine(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
  });
}
