/** How the page and the metrics show paused queues. */
import { expect, it } from 'vitest';
import { createMetrics } from '../../src/ops/metrics.ts';
import { renderPage } from '../../src/ops/page.ts';
import { healthy, plainText, well } from './samples.ts';

const paused = ['rotation-planner', 'invite-links'];
const status = { ...healthy, paused };
const health = { ...well, paused };

it('lists each as a problem on the page', () => {
  const page = renderPage(status, health, { search: '', page: 1 });
  const [, attention = ''] = /<section id="attention".*?>(.*?)<\/section>/s.exec(page) ?? [];
  for (const queue of paused) expect(plainText(attention)).toContain(`The queue ${queue} is paused`);
  expect(attention).not.toContain('configuration');
});

it('sets a metric for each until it is resumed', async () => {
  const metrics = createMetrics('1.2.3');
  const shown = async (read: typeof status) =>
    (await metrics.render(read, health, []))
      .split('\n')
      .filter((line) => line.startsWith('invite_rotator_queue_paused'));
  expect(await shown(status)).toEqual(paused.map((queue) => `invite_rotator_queue_paused{queue="${queue}"} 1`));
  expect(await shown({ ...status, paused: [] })).toEqual([]);
});
