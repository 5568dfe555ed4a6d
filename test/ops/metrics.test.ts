/** What the metrics say of links by instance, of events by queue, and of the file in force. */
import { expect, it } from 'vitest';
import { createMetrics } from '../../src/ops/metrics.ts';
import { group, healthy, instance, statusOf, well, worker } from './samples.ts';

it('reports the oldest links of each instance, however many groups there are', async () => {
  const many = Array.from({ length: 200_000 }, (_, i) => group(`g${i}`));
  const old = group('old', { linkAgeMs: 9_000_000, periodMs: 9_000_000 });
  const late = group('late', { linkAgeMs: 8_000_000, periodMs: 4_000_000 });
  const unscheduled = group('manual', { linkAgeMs: 99_000_000, periodMs: null });
  const groups = [...many, old, late, unscheduled, group('other', { instance: 'support' })];
  const instances = [instance('bot'), instance('support'), instance('empty')];
  const status = statusOf({ ...healthy, groups, instances });
  const text = await createMetrics('1.2.3').render(status, well, []);
  const shown = text.split('\n').filter((line) => line.startsWith('invite_rotator_oldest_link_age'));
  expect(shown).toEqual([
    'invite_rotator_oldest_link_age_seconds{instance="bot"} 9000',
    'invite_rotator_oldest_link_age_seconds{instance="support"} 3600',
    'invite_rotator_oldest_link_age_seconds{instance="empty"} 0',
    'invite_rotator_oldest_link_age_periods{instance="bot"} 2',
    'invite_rotator_oldest_link_age_periods{instance="support"} 0.5',
    'invite_rotator_oldest_link_age_periods{instance="empty"} 0',
  ]);
  expect(text).toContain('invite_rotator_groups{instance="bot",state="fresh"} 200003');
});

it('reports for how long events grow, who lives, and which file is in force', async () => {
  const backlog = { links: { oldestAgeMs: 3_600_000, growingMs: 1_200_000, unpublishedAgeMs: null } };
  const metrics = createMetrics('1.2.3');
  const named = async (health: typeof well) => {
    const text = await metrics.render({ ...healthy, backlog, workers: [worker('a'), worker('b')] }, health, []);
    return text.split('\n').filter((line) => /^invite_rotator_(config_[il]|results_[og]|workers)/.test(line));
  };
  const queue = [
    'invite_rotator_results_oldest_age_seconds{queue="links"} 3600',
    'invite_rotator_results_growing_seconds{queue="links"} 1200',
    'invite_rotator_workers 2',
  ];
  expect(await named(well)).toEqual([
    'invite_rotator_config_info{hash="0123456789ab"} 1',
    `invite_rotator_config_loaded_timestamp_seconds ${well.config.since / 1000}`,
    ...queue,
  ]);
  // After an edit, only the new one is in force.
  expect(await named({ ...well, config: { hash: 'ba9876543210', since: 5_000 } })).toEqual([
    'invite_rotator_config_info{hash="ba9876543210"} 1',
    'invite_rotator_config_loaded_timestamp_seconds 5',
    ...queue,
  ]);
});
