import { expect, it, onTestFinished } from 'vitest';
import { openGate } from '../../src/budget/gate.ts';
import { openQueue } from '../../src/bullmq/queues.ts';
import type { JobResult } from '../../src/rotation/types.ts';
import { complete } from '../../src/worker/complete.ts';
import { openWatchedWorker } from '../../src/worker/watchedWorker.ts';
import { failCall } from '../support/gates.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const denied: JobResult = { status: 'wait', why: 'gate', deniedBy: 'bot', ms: 60_000 };

it.each([
  { name: 'pauses the queue of a paused instance', isOpened: false, taken: 1 },
  { name: 'does not pause it if an edit ended the pause meanwhile', isOpened: true, taken: 2 },
])('$name', async ({ isOpened, taken }) => {
  const db = testRedis();
  const queue = openQueue('rotations-bot', db);
  let starts = 0;
  const worker = openWatchedWorker({
    queue,
    ...db,
    concurrency: 1,
    onError: () => {},
    onRecreated: () => {},
    async process(job, lock) {
      starts++;
      if (starts > 1) return null;
      await failCall(db, 'bot', 'instance_disconnected');
      // The edit comes after the job was denied a call, and before that result is written.
      if (isOpened) await openGate(db, 'bot');
      return await complete(db, queue, job, lock, denied);
    },
  });
  onTestFinished(async () => {
    await worker.close();
    await queue.close();
  });
  await queue.add('rotate', { group: 'vip' });
  await until('the job to be put back or done', async () => {
    const counts = await queue.getJobCounts('waiting', 'completed');
    return starts > 0 && (isOpened ? counts.completed === 1 : counts.waiting === 1);
  });
  expect(starts).toBe(taken);
});
