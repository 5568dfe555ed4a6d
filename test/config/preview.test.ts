import { expect, it } from 'vitest';
import { demands } from '../../src/config/demand.ts';
import { parseConfig } from '../../src/config/load.ts';
import { busiestMoment, previewOf } from '../../src/config/plan.ts';

const nowMs = Date.UTC(2026, 0, 5, 12);
const hour = 3_600_000;

function configOf(groups: string, instance = '') {
  const parsed = parseConfig(
    `instances: [{ name: bot, tokenEnv: T${instance} }]\ngroups:\n${groups}`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}
const jid = (i: number) => `1203634062890${String(i).padStart(5, '0')}@g.us`;
const many = (count: number, schedule: string) =>
  Array.from({ length: count }, (_, i) => `  - { id: g${i}, identifier: "${jid(i)}", ${schedule} }`).join('\n');

it('lists the rotations to come in order, without disabled groups', () => {
  const { groups } = configOf(`  - { id: often, identifier: "${jid(0)}", every: 6h, firstSeen: rotate }
  - { id: later, identifier: "${jid(1)}", every: 1d, firstSeen: wait }
  - { id: monday, identifier: "${jid(2)}", cron: "0 9 * * MON", firstSeen: wait }
  - { id: off, identifier: "${jid(3)}", every: 1h, enabled: false }`);
  const { rotations, truncatedAt } = previewOf(groups, nowMs, 25 * hour);
  expect(rotations.map(({ group, at }) => `${group} +${(at - nowMs) / hour}`)).toEqual([
    'often +0',
    'often +6',
    'often +12',
    'often +18',
    'later +24',
    'often +24',
  ]);
  expect(truncatedAt).toBeNull();
  expect(previewOf(groups, nowMs, 7 * 24 * hour).rotations.filter(({ group }) => group === 'monday')).toEqual([
    { group: 'monday', instance: 'bot', at: Date.UTC(2026, 0, 12, 9) },
  ]);
});

it('is cut off if there are too many, and says where', () => {
  const { groups } = configOf(many(500, 'every: 10m, firstSeen: rotate'), ', rateLimit: { max: 1000 }');
  const { rotations, truncatedAt } = previewOf(groups, nowMs, 7 * 24 * hour);
  expect(rotations.length).toBeLessThanOrEqual(200_000);
  expect(truncatedAt).toBeGreaterThan(nowMs + 2 * 24 * hour);
  expect(rotations).toHaveLength(500 * Math.ceil((truncatedAt! - nowMs) / 600_000));
});

it('shows how long the last group waits if many are due together', () => {
  const config = configOf(many(200, 'cron: "0 9 * * *", firstSeen: wait'));
  const [demand] = demands(config);
  // 90 at once, 90 a minute later, the last 20 after two.
  expect(busiestMoment(demand!, nowMs)).toEqual({ at: Date.UTC(2026, 0, 6, 9), due: 200, lastWaitsMs: 120_000 });
});

it('shows no busiest moment if no group waits', () => {
  const config = configOf(many(90, 'cron: "0 9 * * *", firstSeen: wait'));
  expect(busiestMoment(demands(config)[0]!, nowMs)).toBeNull();
});
