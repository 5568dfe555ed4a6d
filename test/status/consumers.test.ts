/** Events that no consumer is done with are counted, however they stand, and told of wherever a person looks. */
import { DelayedError, Queue, Worker } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { renderStatus } from '../../src/commands/status.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { renderPage } from '../../src/ops/page.ts';
import { readStatus } from '../../src/status/status.ts';
import { configOf, line, registryRig } from '../groups/registryRig.ts';
import { well } from '../ops/samples.ts';
import { eventOf } from '../support/event.ts';
import { until } from '../support/until.ts';

it('counts events whose handler fails, waiting for another try or given up', async () => {
  const { redis, keys, prefix, take } = registryRig();
  const config = configOf([line('vip', 1)], `redis: { prefix: ${prefix} }`);
  await take(config);
  const [name = ''] = config.results.queues;
  const queue = new Queue(name, { connection: redis, prefix });
  const failing = new Worker(
    name,
    async (job, lock) => {
      if (job.data.group === 'lost') throw new Error('the site is down');
      await job.moveToDelayed(Date.now() + 60_000, lock);
      throw new DelayedError();
    },
    { connection: redis, prefix },
  );
  onTestFinished(async () => {
    await failing.close();
    await queue.close();
  });
  for (const [group, revision] of [
    ['vip', 1],
    ['other', 1],
    ['lost', 1],
  ] as const) {
    await queue.add('link.rotated', eventOf(group, revision));
  }
  await until('them to fail', async () => (await queue.getDelayedCount()) + (await queue.getFailedCount()) === 3);

  const status = await readStatus(redis, keys, config);
  expect(status.results).toEqual({ [name]: 3 });
  expect(status.resultsByState).toEqual({ [name]: { waiting: 0, active: 0, delayed: 2, failed: 1 } });
  const tried = `2 events on ${name} wait to be tried again: does the handler of their consumer fail?`;
  const given = `1 events on ${name} have failed: put their consumer right; \`consumeLinks\` tries them again by itself, others need a retry`;
  const terminal = renderStatus(status);
  const page = renderPage(status, { ready: true, reasons: [], details: [], paused: [] }, { search: '', page: 1 });
  for (const text of [terminal, page]) {
    expect(text).toContain(`3 events on ${name} are not consumed yet (0 waiting, 0 active, 2 delayed, 1 failed).`);
    expect(text).toContain(tried);
    expect(text).toContain(given);
  }
  const metrics = await createMetrics('1.2.3').render(status, well);
  expect(metrics).toContain(`invite_rotator_results_waiting{queue="${name}"} 3`);
  expect(metrics).toContain(`invite_rotator_results_jobs{queue="${name}",state="delayed"} 2`);
  expect(metrics).toContain(`invite_rotator_results_jobs{queue="${name}",state="failed"} 1`);
});
