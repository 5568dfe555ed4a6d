/** A problem says what is wrong, for how long, and what to do. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  instanceStateText,
  plannerText,
  relativeTime,
  remarksText,
  span,
  stateMeaning,
} from '../../src/status/format.ts';
import { group, healthy, instance } from '../ops/samples.ts';

it('never dates a failure in the future', () => {
  const lastError = { code: 'not_admin', message: 'no', at: healthy.at, since: healthy.at, count: 1 };
  const failing = group('vip', { state: 'failing', lastError });
  const nowMs = Date.parse(healthy.at);
  expect(remarksText(failing, nowMs)).toBe('not_admin 0s ago: no');
  expect(remarksText(failing, nowMs - 60_000)).toBe('not_admin 0s ago: no');
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
