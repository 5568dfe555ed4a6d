import { expect, it } from 'vitest';
import type { GroupConfig } from '../../src/config/config.ts';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import type { Schedule } from '../../src/schedule/schedule.ts';
import { weekdays } from '../../src/schedule/window.ts';
import { type GroupState, groupStatus } from '../../src/status/status.ts';

const hourMs = 3_600_000;
const nowMs = Date.parse('2026-01-07T12:00:00Z');
const every: Schedule = { kind: 'every', everyMs: hourMs, timezone: 'UTC', window: null };
const group = (over: Partial<GroupConfig> = {}): GroupConfig => ({
  id: 'vip',
  instance: 'bot',
  identifier: { kind: 'jid', jid: '120363406289005073@g.us' },
  schedule: every,
  firstSeen: 'rotate',
  enabled: true,
  ...over,
});
const linked: GroupRecord = {
  ...newRecord,
  link: { code: 'CODE', url: 'https://chat.whatsapp.com/CODE' },
  revision: 1,
  reason: 'schedule',
  rotatedAt: nowMs - hourMs / 2,
  dueAt: nowMs + hourMs / 2,
};
const uncertain = { begunAt: nowMs, openUntil: null, readAt: nowMs, reads: 0, request: null };
const attempt = { id: 'a', call: 'reset' as const, begunAt: nowMs, leaseUntil: nowMs + 1, request: null };
const failure = { code: 'not_admin', message: 'no', httpStatus: 403, at: nowMs, count: 1, nextAttemptAt: nowMs };

it.each<[GroupState, Partial<GroupRecord>, boolean?]>([
  ['fresh', {}],
  ['new', { revision: null, link: null, rotatedAt: null }],
  ['disabled', { dueAt: null }, false],
  ['rotating', { attempt }],
  ['overdue', { dueAt: nowMs - 61_000 }],
  ['overdue', { attempt: { ...attempt, leaseUntil: nowMs - 1 }, dueAt: nowMs - 61_000 }],
  ['fresh', { dueAt: nowMs - 59_000 }],
  ['failing', { failure, dueAt: nowMs - 61_000 }],
  ['double', { duplicateOf: 'other', failure }],
  ['uncertain', { uncertain, duplicateOf: 'other' }],
])('calls a group %s', (state, over, enabled = true) => {
  expect(groupStatus(group({ enabled }), { ...linked, ...over }, nowMs).state).toBe(state);
});

it("measures a link's age against the rotation that its schedule had next", () => {
  const periodMs = (schedule: Schedule, rotatedAt: string) =>
    groupStatus(group({ schedule }), { ...linked, rotatedAt: Date.parse(rotatedAt) }, nowMs).periodMs;
  expect(periodMs(every, '2026-01-07T11:30:00Z')).toBe(hourMs);
  const night: Schedule = { ...every, window: { fromMinute: 120, toMinute: 300, days: [...weekdays] } };
  expect(periodMs(night, '2026-01-07T04:30:00Z')).toBe(21.5 * hourMs);
  const mondays: Schedule = { kind: 'cron', cron: '0 9 * * MON', timezone: 'UTC', window: null };
  // Replaced on a Wednesday, because it leaked: its turn comes on Monday all the same.
  expect(periodMs(mondays, '2026-01-07T09:00:00Z')).toBe(5 * 24 * hourMs);
});

it('measures it against nothing where nothing is scheduled, or there is no link', () => {
  expect(groupStatus(group({ enabled: false }), linked, nowMs)).toMatchObject({
    linkAgeMs: hourMs / 2,
    periodMs: null,
  });
  expect(groupStatus(group(), newRecord, nowMs)).toMatchObject({ linkAgeMs: null, periodMs: null, linkBy: null });
});
