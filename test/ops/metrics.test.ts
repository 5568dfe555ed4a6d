/** What the metrics say of links, by instance. */
import { expect, it } from 'vitest';
import { createMetrics } from '../../src/ops/metrics.ts';
import { group, healthy, instance, well } from './samples.ts';

it('reports the oldest links of each instance, however many groups there are', async () => {
  const many = Array.from({ length: 200_000 }, (_, i) => group(`g${i}`));
  const old = group('old', { linkAgeMs: 9_000_000, periodMs: 9_000_000 });
  const late = group('late', { linkAgeMs: 8_000_000, periodMs: 4_000_000 });
  const unscheduled = group('manual', { linkAgeMs: 99_000_000, periodMs: null });
  const groups = [...many, old, late, unscheduled, group('other', { instance: 'support' })];
  const status = { ...healthy, groups, instances: [instance('bot'), instance('support'), instance('empty')] };
  const text = await createMetrics('1.2.3').render(status, well);
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
