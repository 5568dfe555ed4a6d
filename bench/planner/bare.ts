/** The baseline: one bare BullMQ worker per instance, which makes the same HTTP call and adds one job to a queue. */
import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createRyzeClient } from '../../src/ryze/client.ts';
import { isFailure } from '../../src/ryze/outcome.ts';

const env = z
  .object({ REDIS_PATH: z.string(), API: z.string(), TOKEN: z.string(), INSTANCES: z.coerce.number() })
  .parse(process.env);
const connection = new Redis({ path: env.REDIS_PATH, maxRetriesPerRequest: null });
const client = createRyzeClient({ baseUrl: env.API, timeoutMs: 30_000 });
const results = new Queue('invite-links', { connection });

const workers = Array.from({ length: env.INSTANCES }, (_, i) => {
  const handle = async (job: Job<{ jid: string }>) => {
    const outcome = await client.resetLink({ instance: `bot${i}`, token: env.TOKEN, identifier: job.data.jid });
    if (isFailure(outcome)) throw new Error(outcome.code);
    await results.add('link.rotated', outcome);
  };
  return new Worker(`calls-bot${i}`, handle, { connection, concurrency: 5 });
});
for (const worker of workers) worker.on('error', () => {});
process.once('SIGTERM', () => {
  void Promise.all(workers.map((worker) => worker.close(true))).finally(() => process.exit(0));
});
await Promise.all(workers.map((worker) => worker.waitUntilReady()));
process.stdout.write('ready\n');
