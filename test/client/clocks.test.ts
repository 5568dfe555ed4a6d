import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { consumeLinks } from '../../src/index.ts';
import { eventOf } from '../support/event.ts';
import { testRedis } from '../support/redis.ts';
import { shiftedClock } from '../support/shiftedClock.ts';
import { until } from '../support/until.ts';

const library = new URL('../../dist/index.js', import.meta.url).href;

it('delivers an event soon although a consumer whose clock is ten minutes ahead has delayed it', async () => {
  const { url, prefix, redis } = testRedis();
  const queue = new Queue('invite-links', { connection: redis, prefix });
  onTestFinished(() => queue.close());
  const failing = `
import { consumeLinks } from '${library}';
const handler = () => Promise.reject(new Error('not now'));
await consumeLinks({ connection: '${url}', prefix: '${prefix}', handler, onError() {} }).ready();`;
  const ahead = spawn(process.execPath, [shiftedClock(600_000), '--input-type=module', '--eval', failing], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: 'inherit',
  });
  const ended = once(ahead, 'close');
  onTestFinished(async () => {
    ahead.kill('SIGKILL');
    await ended;
  });
  await until('its worker', async () => (await queue.getWorkers()).length > 0);
  const data = eventOf('vip', 1);
  const backoff = { type: 'exponential', delay: 1_000 };
  const job = await queue.add(data.type, data, { jobId: data.id, attempts: 10, backoff });
  await until('a retry', () => job.isDelayed());
  ahead.kill('SIGKILL');
  await ended;

  const seen: string[] = [];
  const consumer = consumeLinks({ connection: url, prefix, handler: ({ id }) => void seen.push(id) });
  onTestFinished(() => consumer.close());
  await until('the event', () => seen.length > 0);
  expect(seen).toEqual([data.id]);
});
