/** `invite-rotator consume`: takes events off a results queue, one JSON object a line on stdout. */
import { onceAMinute } from '../client/onceAMinute.ts';
import { startQueueWorker } from '../client/queueWorker.ts';
import { linkEvent } from '../contract/event.ts';
import { type CommonOptions, type Connected, readConfig, stopSignal, withRedis } from './context.ts';

export interface ConsumeOptions extends CommonOptions {
  readonly queue?: string;
}

/** Runs until a signal. An event is acknowledged once its line is written; until then its job comes again. */
export async function consume(options: ConsumeOptions): Promise<number> {
  const config = await readConfig(options);
  const name = options.queue ?? config.results.queues[0] ?? '';
  const take = async ({ redis, prefix }: Connected) => {
    const worker = startQueueWorker({
      queue: name,
      redis,
      prefix,
      concurrency: 1,
      async take(job) {
        const event = linkEvent.safeParse(job.data);
        if (!event.success) throw new Error(`job ${job.id} of ${name} is not an event of this program`);
        await writeLine(JSON.stringify(event.data));
      },
      // A reader that takes no lines holds up nobody: what it did not take comes again.
      idle: () => Promise.resolve(),
      onError: onceAMinute(({ message }) => process.stderr.write(`${message}\n`)),
    });
    // Before it is said: a signal that comes at once must not end it in the middle of a line.
    const stopped = stopSignal();
    process.stderr.write(`consuming ${name}; Ctrl-C ends it\n`);
    const closed = new Promise<void>((resolve) => process.stdout.once('error', () => resolve()));
    await Promise.race([stopped, closed]);
    await worker.close();
    return 0;
  };
  return await withRedis(config.redis, take, { writes: true, refusedForMs: Number.POSITIVE_INFINITY });
}

function writeLine(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
  });
}
