/** Events that are not consumed yet are counted by state, and shown on the terminal, the page and in metrics. */
import { DelayedError, Queue, Worker } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { renderStatus } from '../../src/commands/statusView.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { renderPage } from '../../src/ops/page.ts';
import { readStatus } from '../../src/status/status.ts';
import { configOf, line, registryRig } from '../groups/registryRig.ts';
import { plainText, well } from '../ops/samples.ts';
import { eventOf } from '../support/event.ts';
import { until } from '../support/until.ts';

it('counts events whose handler fails, both those to be retried and those that failed', async () => {
  const rig = registryRig();
  const { redis, prefix, applyConfig } = rig;
  const config = configOf([line('vip', 1)], `redis: { prefix: ${prefix} }`);
  await applyConfig(config);
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

  const status = await readStatus(rig, config);
  expect(status.results).toEqual({ [name]: 3 });
  expect(status.resultsByState).toEqual({ [name]: { waiting: 0, active: 0, delayed: 2, failed: 1 } });
  const terminal = renderStatus(status, { columns: null, rows: null, file: config.file, hash: config.hash });
  const page = plainText(renderPage(status, well, { search: '', page: 1 }));
  const retried = `${name}: 2 events waiting for a retry, because the consumer failed`;
  const advice = 'orrect the consumer: `consumeLinks` then retries automatically, any other needs a manual retry';
  for (const text of [terminal, page]) {
    expect(text).toContain(`${name}: 3 events not consumed yet (0 waiting, 0 active, 2 delayed, 1 failed).`);
    for (const part of [retried, `${name}: 1 event failed`, advice]) expect(text).toContain(part);
  }
  const metrics = await createMetrics('1.2.3').render(status, well, []);
  expect(metrics).toContain(`invite_rotator_results_waiting{queue="${name}"} 3`);
  expect(metrics).toContain(`invite_rotator_results_jobs{queue="${name}",state="delayed"} 2`);
  expect(metrics).toContain(`invite_rotator_results_jobs{queue="${name}",state="failed"} 1`);
});
