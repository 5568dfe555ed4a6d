/**
 * The other contender: a worker as BullMQ's documentation leads one to write it. It makes the call with a timeout, keeps
 * to the rate limit, retries with exponential back-off, gives up on what cannot succeed, and publishes each link once.
 */
import { type Job, Queue, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { z } from 'zod';

const env = z
  .object({
    REDIS_PATH: z.string(),
    API: z.string(),
    TOKEN: z.string(),
    MAX: z.coerce.number(),
    PER_MS: z.coerce.number(),
    TIMEOUT_MS: z.coerce.number(),
    CONCURRENCY: z.coerce.number(),
  })
  .parse(process.env);
const answer = z.object({ inviteCode: z.string().min(1), inviteLink: z.url() });

const connection = new Redis({ path: env.REDIS_PATH, maxRetriesPerRequest: null });
const results = new Queue('links', { connection });

async function rotate(job: Job<{ jid: string }>): Promise<void> {
  const { jid } = job.data;
  const response = await fetch(`${env.API}/api/group/resetLink/bot`, {
    method: 'POST',
    headers: { token: env.TOKEN, 'content-type': 'application/json' },
    body: JSON.stringify({ identifier: jid }),
    signal: AbortSignal.timeout(env.TIMEOUT_MS),
  });
  if (response.status === 429) {
    await worker.rateLimit(env.PER_MS);
    throw Worker.RateLimitError();
  }
  if (response.status >= 400 && response.status < 500) throw new UnrecoverableError(`refused: ${response.status}`);
  if (!response.ok) throw new Error(`failed: ${response.status}`);
  const { inviteCode, inviteLink } = answer.parse(await response.json());
  await results.add('link.rotated', { jid, inviteCode, inviteLink }, { jobId: inviteCode, removeOnComplete: true });
}

const worker = new Worker('calls', rotate, {
  connection,
  concurrency: env.CONCURRENCY,
  limiter: { max: env.MAX, duration: env.PER_MS },
});
worker.on('error', () => {});
process.once('SIGTERM', () => {
  void worker.close().finally(() => process.exit(0));
});
await worker.waitUntilReady();
process.stdout.write('ready\n');
