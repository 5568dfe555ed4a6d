/**
 * One process of a contender: takes calls off a queue and makes them through a rate limiter as its manual says, with
 * retries. Configured by the environment: KIND, PROCESSES (how many share the limit), REDIS_URL, API, TOKEN, MAX,
 * PER_MS, CONCURRENCY.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import Bottleneck from 'bottleneck';
import { type Job, Worker, type WorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';
import pThrottle from 'p-throttle';
import { z } from 'zod';
import { createRyzeClient } from '../../src/ryze/client.ts';
import { isFailure } from '../../src/ryze/outcome.ts';

const env = z
  .object({
    KIND: z.enum(['BullMQ limiter', 'bottleneck', 'p-throttle']),
    REDIS_PATH: z.string(),
    API: z.string(),
    TOKEN: z.string(),
    PROCESSES: z.coerce.number(),
    MAX: z.coerce.number(),
    PER_MS: z.coerce.number(),
    CONCURRENCY: z.coerce.number(),
  })
  .parse(process.env);

const client = createRyzeClient({ baseUrl: env.API, timeoutMs: 30_000 });
const redis = new Redis({ path: env.REDIS_PATH, maxRetriesPerRequest: null });
const maxAttempts = 30;
/** The usual back-off of a second, scaled like the window. */
const backoffMs = env.PER_MS / 60;

async function call(jid: string): Promise<void> {
  const outcome = await client.resetLink({ instance: 'bot', token: env.TOKEN, identifier: jid });
  if (isFailure(outcome)) throw new Error(outcome.code);
}

async function retried(attempt: () => Promise<void>): Promise<void> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (failures + 1 >= maxAttempts) throw error;
      await sleep(Math.min(backoffMs * 2 ** failures, env.PER_MS) * (0.5 + Math.random() / 2));
    }
  }
}

/** Processes that share nothing divide the limit among them. */
const share = Math.floor(env.MAX / env.PROCESSES);

function makeHandler(): { handle: (jid: string) => Promise<void>; limiter?: WorkerOptions['limiter'] } {
  switch (env.KIND) {
    case 'BullMQ limiter':
      return { handle: call, limiter: { max: env.MAX, duration: env.PER_MS } };
    case 'bottleneck': {
      const limiter = new Bottleneck({
        reservoir: share,
        reservoirRefreshAmount: share,
        reservoirRefreshInterval: env.PER_MS,
      });
      return { handle: (jid) => retried(() => limiter.schedule(() => call(jid))) };
    }
    case 'p-throttle': {
      const throttled = pThrottle({ limit: share, interval: env.PER_MS })(call);
      return { handle: (jid) => retried(() => throttled(jid)) };
    }
  }
}

const { handle, limiter } = makeHandler();
const worker = new Worker('calls', (job: Job<{ jid: string }>) => handle(job.data.jid), {
  connection: redis,
  concurrency: limiter === undefined ? 1_000 : env.CONCURRENCY,
  ...(limiter === undefined ? {} : { limiter }),
  // BullMQ's own retries; the others retry inside.
  settings: {
    backoffStrategy: (made) => Math.min(backoffMs * 2 ** (made - 1), env.PER_MS) * (0.5 + Math.random() / 2),
  },
});
worker.on('error', () => {});
process.once('SIGTERM', () => {
  void worker.close(true).finally(() => process.exit(0));
});
await worker.waitUntilReady();
process.stdout.write('ready\n');
