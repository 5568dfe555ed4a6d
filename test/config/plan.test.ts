import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { makePlan } from '../../src/config/plan.ts';

const nowMs = Date.parse('2026-01-05T12:00:00Z'); // a Monday

const text = `
instances:
  - { name: a, tokenEnv: TOKEN }
  - { name: b, tokenEnv: TOKEN, rateLimit: { max: 50 } }
  - { name: c, tokenFile: token }
groups:
  - { id: now, identifier: CODE00001, instance: a, every: 10m, firstSeen: rotate }
  - { id: night, identifier: CODE00002, instance: a, every: 1d, window: { from: "22:00", to: "05:30", days: [mon, tue, wed] }, timezone: Europe/Berlin, firstSeen: rotate }
  - { id: weekly, identifier: CODE00003, instance: a, cron: "0 9 * * MON", firstSeen: wait }
  - { id: later, identifier: CODE00004, instance: a, every: 6h, firstSeen: wait }
  - { id: phase, identifier: CODE00005, instance: a, every: 1d }
  - { id: sixth, identifier: CODE00006, instance: a, every: 30d, firstSeen: wait }
  - { id: archive, identifier: CODE00007, instance: b, every: 1d, enabled: false }
`;

function plan() {
  const loaded = parseConfig(text, '/etc/rotation.yaml');
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return makePlan(loaded.config, nowMs);
}

it('describes what the first start does to the links in use', () => {
  expect(plan().firstStart).toEqual({
    ...{ linksRead: 6, readsTakeMs: 0, replacedAtOnce: 1 },
    replacedLater: { links: 5, from: expect.any(String), to: '2026-02-04T12:00:00.000Z' },
  });
  const many = Array.from({ length: 300 }, (_, i) => `{ id: g${i}, identifier: CODE${10_000 + i} }`);
  const loaded = parseConfig(
    `instances: [{ name: a, tokenEnv: T }]\ndefaults: { every: 7d }\ngroups: [${many.join(', ')}]`,
    '/f.yaml',
  );
  if (!loaded.ok) throw new Error('the file is broken');
  expect(makePlan(loaded.config, nowMs).firstStart).toMatchObject({
    ...{ linksRead: 300, readsTakeMs: 180_000, replacedAtOnce: 0 },
  });
});

it('lists the groups of each instance, the calls they need and the calls allowed', () => {
  const figures = plan().instances.map(({ next: _, verification: __, ...rest }) => rest);
  const asked = 0.1 + 3 / 1440 + 1 / 360 + 1 / 10_080 - 1 / 1440 + 1 / 43_200;
  expect(figures).toEqual([
    {
      instance: 'a',
      groups: 6,
      enabled: 6,
      callsPerMinuteAsked: expect.closeTo(asked, 9),
      callsPerMinuteAllowed: 40,
      sharesTokenWith: ['b'],
      busiestMoment: null,
    },
    {
      instance: 'b',
      groups: 1,
      enabled: 0,
      callsPerMinuteAsked: 0,
      callsPerMinuteAllowed: 40,
      sharesTokenWith: ['a'],
      busiestMoment: null,
    },
    {
      instance: 'c',
      groups: 0,
      enabled: 0,
      callsPerMinuteAsked: 0,
      callsPerMinuteAllowed: 90,
      sharesTokenWith: [],
      busiestMoment: null,
    },
  ]);
});

it('lists the next five rotations of the first start, with time and reason', () => {
  const [first] = plan().instances;
  expect(first?.next.find(({ group }) => group === 'phase')).toMatchObject({ why: 'at its own phase of the period' });
  expect(first?.next).toHaveLength(5);
  expect(first?.next.filter(({ group }) => group !== 'phase')).toEqual([
    { group: 'now', at: '2026-01-05T12:00:00.000Z', schedule: 'every 10m', why: 'never rotated: at once' },
    { group: 'later', at: '2026-01-05T18:00:00.000Z', schedule: 'every 6h', why: 'a full period from now' },
    {
      group: 'night',
      at: '2026-01-05T21:00:00.000Z',
      schedule: 'every 1d, 22:00-05:30 mon-wed (Europe/Berlin)',
      why: 'never rotated: when its window opens',
    },
    {
      group: 'weekly',
      at: '2026-01-12T09:00:00.000Z',
      schedule: 'cron 0 9 * * MON (UTC)',
      why: 'next time of its cron',
    },
  ]);
});

it('says how often the links of each instance are verified', () => {
  const of = (count: number, more = '') => {
    const groups = Array.from({ length: count }, (_, i) => `{ id: g${i}, identifier: CODE${10_000 + i} }`);
    const loaded = parseConfig(
      `instances: [{ name: a, tokenEnv: T }]\ndefaults: { every: 7d }\ngroups: [${groups.join(', ')}]\n${more}`,
      '/f.yaml',
    );
    if (!loaded.ok) throw new Error('the file is broken');
    return makePlan(loaded.config, nowMs).instances[0]?.verification;
  };
  expect(of(60)).toEqual({ every: '1h', everyMs: 3_600_000, groups: 60, readsPerMinute: 1 });
  expect(of(1_500)).toEqual({ every: '2h 30m', everyMs: 9_000_000, groups: 1_500, readsPerMinute: 10 });
  expect(of(1_500, 'verify: { share: 50% }')).toMatchObject({ every: '1h' });
  expect(of(60, 'verify: { every: 1d }')).toMatchObject({ every: '1d' });
  expect(of(60, 'verify: off')).toBeNull();
});

it.each([
  { groups: 8, busiest: null },
  { groups: 9, busiest: { due: 9, lastWaitsMs: 60_000 } },
])('finds the moment at which $groups groups of one minute wait for a limit of 8', ({ groups, busiest }) => {
  const entries = Array.from({ length: groups }, (_, i) => `  - { id: g${i}, identifier: CODE${100_000 + i} }\n`);
  const loaded = parseConfig(
    `instances:\n  - { name: bot, tokenEnv: T, rateLimit: { max: 10, reserve: 2 } }\ndefaults: { cron: "0 9 * * MON" }\ngroups:\n${entries.join('')}`,
    '/r.yaml',
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const [planned] = makePlan(loaded.config, Date.UTC(2026, 2, 3)).instances;
  expect(planned?.busiestMoment ?? null).toEqual(busiest && { ...busiest, at: '2026-03-09T09:00:00.000Z' });
});
