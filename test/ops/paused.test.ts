/** What the pages say of queues that somebody has paused. */
import { expect, it } from 'vitest';
import { createMetrics } from '../../src/ops/metrics.ts';
import { renderPage } from '../../src/ops/page.ts';
import { judge } from '../../src/ops/readiness.ts';
import { healthy, well } from './samples.ts';

const paused = ['rotation-planner', 'invite-links'];
const status = { ...healthy, paused };
const health = { ...well, paused };

it('names each on the page, above all else', () => {
  const page = renderPage(status, judge(health), { search: '', page: 1 });
  const [, attention = ''] = /<section id="attention".*?>(.*?)<\/section>/s.exec(page) ?? [];
  for (const queue of paused) expect(attention).toContain(`The queue ${queue} is paused`);
  expect(attention).not.toContain('configuration');
});

it('shows a metric for each, until it is resumed', async () => {
  const metrics = createMetrics('1.2.3');
  const shown = async (read: typeof status) =>
    (await metrics.render(read, health)).split('\n').filter((line) => line.startsWith('invite_rotator_queue_paused'));
  expect(await shown(status)).toEqual(paused.map((queue) => `invite_rotator_queue_paused{queue="${queue}"} 1`));
  expect(await shown({ ...status, paused: [] })).toEqual([]);
});
