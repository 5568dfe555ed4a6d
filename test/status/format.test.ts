/** A problem says what is wrong, for how long, and what to do. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { policies } from '../../src/ryze/policy.ts';
import {
  instanceStateText,
  plannerText,
  problemsOf,
  relativeTime,
  remarksText,
  span,
  stateMeaning,
} from '../../src/status/format.ts';
import { badDay, group, healthy, instance } from '../ops/samples.ts';

it('lists no problem on a good day', () => {
  expect(problemsOf(healthy)).toEqual([]);
});

it('lists what needs attention, with durations and advice', () => {
  const status = {
    ...badDay(),
    paused: ['rotation-planner'],
    outbox: { links: 1 },
    resultsByState: { links: { waiting: 0, active: 0, delayed: 1, failed: 2 } },
  };
  const { not_admin, group_not_found, instance_disconnected } = policies;
  expect(problemsOf(status)).toEqual([
    'The queue rotation-planner is paused: its jobs wait until somebody resumes it',
    `support is paused for 12m 34s (instance_disconnected): ${instance_disconnected.advice}`,
    `course-2026 is failing (not_admin 3 times in a row, last 12m ago): ${not_admin.advice}`,
    `alumni is failing (group_not_found 12m ago): ${group_not_found.advice}`,
    'links: 1 event not published yet; if this lasts, the log says why (publish.failed)',
    'links: 1 event waiting for a retry, because the consumer failed; its log says why',
    'links: 2 events failed; correct the consumer: `consumeLinks` then retries automatically, any other needs a manual retry',
  ]);
});

it('says what to do about groups that are paused on their own', () => {
  const lastError = { code: 'unreadable_record', message: 'not JSON', at: healthy.at, since: healthy.at, count: 1 };
  const groups = [
    group('broken', { state: 'unreadable_record', lastError }),
    group('copy', { state: 'duplicate', duplicateOf: 'vip' }),
  ];
  expect(problemsOf({ ...healthy, groups })).toEqual([
    'broken is paused (unreadable_record): its record in Redis is damaged, or another version wrote it; the log says what to do (group.unreadable)',
    'copy is the same WhatsApp group as vip: remove one of the two from the file',
  ]);
});

it('never dates a failure in the future', () => {
  const lastError = { code: 'not_admin', message: 'no', at: healthy.at, since: healthy.at, count: 1 };
  const failing = group('vip', { state: 'failing', lastError });
  const nowMs = Date.parse(healthy.at);
  expect(remarksText(failing, nowMs)).toBe('not_admin 0s ago: no');
  expect(remarksText(failing, nowMs - 60_000)).toBe('not_admin 0s ago: no');
});

it('lists twenty groups, and counts the others', () => {
  const lastError = { code: 'not_admin', message: 'no', at: healthy.at, since: healthy.at, count: 1 };
  const groups = Array.from({ length: 22 }, (_, i) => group(`g${i}`, { state: 'failing', lastError }));
  const problems = problemsOf({ ...healthy, groups });
  expect(problems).toHaveLength(21);
  expect(problems.at(-1)).toBe('2 more groups need attention');
});

it('says how long an instance has been paused, and when it is tried again', () => {
  const gate = { reason: 'timeout', opensInMs: 5_000, closedForMs: 60_000 };
  const text = (over: Partial<typeof gate>) => instanceStateText(instance('bot', { gate: { ...gate, ...over } }));
  expect(text({})).toBe('paused for 1m (timeout), next try in 5s');
  expect(text({ opensInMs: 0 })).toBe('paused for 1m (timeout), the next call is a probe');
  expect(instanceStateText(instance('bot', { gate: { ...gate, closedForMs: null } }))).toContain('paused (timeout)');
});

it('asks whether the worker is running when the planner is late', () => {
  expect(plannerText(null)).toBe('The planner has never run: is the worker running?');
  expect(plannerText(4_000)).toBe('The planner last ran 4s ago.');
  expect(plannerText(300_000)).toBe('The planner last ran 5m ago: is the worker running?');
});

it('formats durations in their two largest units', () => {
  expect([0, 999, 61_000, 3_600_000, 90_061_000].map(span)).toEqual(['0s', '1s', '1m 1s', '1h', '1d 1h']);
  expect([relativeTime(1_000), relativeTime(-1_000)]).toEqual(['in 1s', '1s ago']);
});

it('says what a state means as docs/cli.md does', () => {
  const text = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith('status\n')) ?? '';
  const rows = [...section.matchAll(/^\| `(\w+)` +\| (.*?) +\|$/gm)].map(([, state = '', meaning = '']) => [
    state,
    meaning.replaceAll('`', ''),
  ]);
  expect(rows).toEqual(Object.entries(stateMeaning));
});
