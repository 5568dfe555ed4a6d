/** What needs attention, by cause. */
import { expect, it } from 'vitest';
import { policies } from '../../src/ryze/policy.ts';
import { causesOf } from '../../src/status/attention.ts';
import type { Backlog } from '../../src/status/status.ts';
import { badDay, group, healthy, instance, statusOf, worker } from '../ops/samples.ts';

const minuteMs = 60_000;
const lastError = (code: string, since: string) => ({ code, message: 'no', at: healthy.at, since, count: 2 });

it('finds none on a good day, although events exist', () => {
  expect(causesOf(healthy)).toEqual([]);
});

it('puts groups that fail for the same reason together, with the first failure of any of them', () => {
  const groups = [
    group('a', { state: 'failing', lastError: lastError('group_not_found', '2026-01-05T10:00:00.000Z') }),
    group('b', { state: 'failing', lastError: lastError('not_admin', '2026-01-05T11:00:00.000Z') }),
    group('c', { state: 'failing', lastError: lastError('not_admin', '2026-01-05T09:00:00.000Z') }),
    group('d', { state: 'duplicate', duplicateOf: 'a' }),
    group('e', { state: 'unreadable_record' }),
    group('f', { lastError: lastError('not_admin', '2026-01-01T09:00:00.000Z') }),
  ];
  const causes = causesOf(statusOf({ ...healthy, groups }));
  expect(causes.map(({ text, since, advice }) => [text, since, advice])).toEqual([
    ['2 groups are failing (not_admin)', '2026-01-05T09:00:00.000Z', policies.not_admin.advice],
    ['1 group is failing (group_not_found)', '2026-01-05T10:00:00.000Z', policies.group_not_found.advice],
    ['1 group is paused (unreadable_record)', null, expect.stringContaining('damaged')],
    ['1 group is a duplicate of another', null, 'remove one of the two from the file'],
  ]);
  expect(causes[0]).toMatchObject({
    groups: [{ group: 'b' }, { group: 'c' }],
    filter: { state: 'failing', q: 'not_admin' },
  });
  expect(causes[3]?.groups).toEqual([{ group: 'd', note: 'same WhatsApp group as a' }]);
});

it('says since when, and how many jobs or events wait', () => {
  const causes = causesOf({
    ...badDay(),
    paused: ['rotations-support', 'invite-links', 'rotation-planner'],
    outbox: { 'invite-links': 2 },
    backlog: { 'invite-links': { oldestAgeMs: null, growingMs: 0, unpublishedAgeMs: 5 * minuteMs } },
  });
  expect(causes.map(({ text, since, waiting }) => [text, since, waiting])).toEqual([
    ['The queue rotations-support is paused', null, '12 jobs wait'],
    ['The queue invite-links is paused', null, '7 events wait'],
    ['The queue rotation-planner is paused', null, null],
    ['support is paused (instance_disconnected)', '2026-01-05T11:47:26.000Z', '12 jobs wait'],
    ['1 group is failing (not_admin)', '2026-01-05T08:12:00.000Z', null],
    ['1 group is failing (group_not_found)', '2026-01-05T11:48:00.000Z', null],
    ['invite-links: 2 events not published yet', '2026-01-05T11:55:00.000Z', null],
  ]);
  const idle = { waiting: 0, active: 2, delayed: 0 };
  const gate = { reason: 'unauthorized', opensInMs: 1, closedForMs: null };
  const [quiet] = causesOf({ ...healthy, instances: [instance('bot', { gate, queue: idle })] });
  expect(quiet).toMatchObject({ since: null, waiting: null });
});

it.each<[string, Partial<Backlog>, number]>([
  ['none wait', { oldestAgeMs: null, growingMs: 0 }, 0],
  ['old events merely exist', { oldestAgeMs: 9_000 * minuteMs, growingMs: 4 * minuteMs }, 0],
  ['they arrived within a quarter of an hour', { oldestAgeMs: 20 * minuteMs, growingMs: 15 * minuteMs }, 0],
  ['more keep arriving', { oldestAgeMs: 20 * minuteMs, growingMs: 16 * minuteMs }, 1],
])('alarms of unconsumed events only when they grow: %s', (_name, over, alarms) => {
  const backlog = { 'invite-links': { oldestAgeMs: null, growingMs: 0, unpublishedAgeMs: null, ...over } };
  const causes = causesOf({ ...healthy, backlog });
  expect(causes).toHaveLength(alarms);
  for (const cause of causes) {
    expect(cause).toMatchObject({
      text: 'invite-links: 7 events not consumed, and more arrive',
      since: '2026-01-05T11:40:00.000Z',
    });
  }
});

it('reports different files of workers once they had time to agree', () => {
  const workers = (since: string) => [worker('a'), worker('b', { config: { hash: 'ba9876543210', since } })];
  const causes = (since: string) => causesOf({ ...healthy, workers: workers(since) });
  expect(causes('2026-01-05T11:56:00.000Z')).toEqual([]);
  expect(causes('2026-01-05T11:54:00.000Z')).toMatchObject([
    { text: 'The workers have 2 different configuration files', since: '2026-01-05T11:54:00.000Z' },
  ]);
});
