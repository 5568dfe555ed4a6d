/** `invite-rotator consume`: takes events off a results queue, one JSON object a line on stdout. */
import { linkEvent } from '../results/event.ts';
import { CalmWorker } from '../worker/calmWorker.ts';
import { lockOptions } from '../worker/instance.ts';
import { type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';

export interface ConsumeOptions extends CommonOptions {
  readonly queue?: string;
}

/** Runs until a signal. An event is acknowledged once its line is written; until then its job comes again. */
export async function consume(options: ConsumeOptions): Promise<number> {
  const config = await readConfig(options);
  const name = options.queue ?? config.results.queues[0] ?? '';
  return await withRedis(
    config.redis,
    async ({ redis, prefix }) => {
      const worker = new CalmWorker(
        name,
        async (job) => {
          const event = linkEvent.safeParse(job.data);
          if (!event.success) throw new Error(`job ${job.id} of ${name} is not an event of this program`);
          await writeLine(JSON.stringify(event.data));
        },
        { connection: redis, prefix, concurrency: 1, ...lockOptions },
      );
      worker.on('failed', (job, error) => process.stderr.write(`${job?.id ?? 'a job'}: ${error.message}\n`));
      worker.on('error', () => {
        // The connection's own listener tells of outages; the worker takes up again by itself.
      });
      process.stderr.write(`consuming ${name}; Ctrl-C ends it\n`);
      const closed = new Promise<void>((resolve) => process.stdout.once('error', () => resolve()));
      await Promise.race([stopSignal(), closed]);
      await worker.close();
      return 0;
    },
    { writes: true, refusedForMs: Number.POSITIVE_INFINITY },
  );
}

function writeLine(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
  });
}
