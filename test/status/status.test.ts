import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import type { GroupConfig } from '../../src/config/config.ts';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import type { GroupState } from '../../src/groups/states.ts';
import type { Schedule } from '../../src/schedule/schedule.ts';
import { weekdays } from '../../src/schedule/window.ts';
import { groupStatus } from '../../src/status/groupStatus.ts';
import { readStatus } from '../../src/status/status.ts';
import { configOf, jid, line, registryRig } from '../groups/registryRig.ts';
import { eventOf } from '../support/event.ts';

const hourMs = 3_600_000;
const nowMs = Date.parse('2026-01-07T12:00:00Z');
const every: Schedule = { kind: 'every', everyMs: hourMs, timezone: 'UTC', window: null };
const group = (over: Partial<GroupConfig> = {}): GroupConfig => ({
  id: 'vip',
  instance: 'bot',
  identifier: { kind: 'jid', jid: '120363406289005073@g.us' },
  title: null,
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
const uncertain = {
  begunAt: nowMs,
  openUntil: null,
  readAt: nowMs,
  reads: 0,
  failedReads: 0,
  request: null,
  covers: null,
};
const attempt = { id: 'a', call: 'reset' as const, begunAt: nowMs, leaseUntil: nowMs + 1, request: null, covers: null };
const failure = { code: 'not_admin', message: 'no', httpStatus: 403, at: nowMs, count: 1, nextAttemptAt: nowMs };

it.each<[GroupState, Partial<GroupRecord>, boolean?]>([
  ['fresh', {}],
  ['new', { revision: null, link: null, rotatedAt: null }],
  ['disabled', { dueAt: null }, false],
  ['rotating', { attempt }],
  ['overdue', { dueAt: nowMs - 61_000 }],
  ['uncertain', { attempt: { ...attempt, leaseUntil: nowMs - 1 }, dueAt: nowMs - 61_000 }],
  ['overdue', { attempt: { ...attempt, call: 'verify', leaseUntil: nowMs - 1 }, dueAt: nowMs - 61_000 }],
  ['fresh', { dueAt: nowMs - 59_000 }],
  ['failing', { failure, dueAt: nowMs - 61_000 }],
  ['duplicate', { duplicateOf: 'other', failure }],
  ['fresh', { unverified: 2 }],
  ['unverified', { unverified: 3 }],
  ['unverified', { revision: null, link: null, rotatedAt: null, unverified: 1 }],
  ['failing', { failure, unverified: 3 }],
  ['disabled', { unverified: 3 }, false],
  ['uncertain', { uncertain, duplicateOf: 'other' }],
])('gives a group the state %s', (state, over, enabled = true) => {
  expect(groupStatus(group({ enabled }), { ...linked, ...over }, nowMs).state).toBe(state);
});

it("computes a link's period from the next scheduled rotation", () => {
  const periodMs = (schedule: Schedule, rotatedAt: string) =>
    groupStatus(group({ schedule }), { ...linked, rotatedAt: Date.parse(rotatedAt) }, nowMs).periodMs;
  expect(periodMs(every, '2026-01-07T11:30:00Z')).toBe(hourMs);
  const night: Schedule = { ...every, window: { fromMinute: 120, toMinute: 300, days: [...weekdays] } };
  expect(periodMs(night, '2026-01-07T04:30:00Z')).toBe(21.5 * hourMs);
  const mondays: Schedule = { kind: 'cron', cron: '0 9 * * MON', timezone: 'UTC', window: null };
  // Rotated on a Wednesday because it leaked; the next rotation stays on Monday.
  expect(periodMs(mondays, '2026-01-07T09:00:00Z')).toBe(5 * 24 * hourMs);
});

it('gives no period without a schedule or a link', () => {
  expect(groupStatus(group({ enabled: false }), linked, nowMs)).toMatchObject({
    linkAgeMs: hourMs / 2,
    periodMs: null,
  });
  expect(groupStatus(group(), newRecord, nowMs)).toMatchObject({ linkAgeMs: null, periodMs: null, linkBy: null });
});

it('says for how long events have been waiting, and for how long more of them arrive', async () => {
  const rig = registryRig();
  const config = configOf([line('vip', 1)], `redis: { prefix: ${rig.prefix} }`);
  const backlog = async () => (await readStatus(rig, config)).backlog['invite-links']!;
  expect(await backlog()).toEqual({ oldestAgeMs: null, growingMs: 0, unpublishedAgeMs: null });
  const queue = new Queue('invite-links', { connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => queue.close());
  const startMs = Date.now();
  for (const agoMs of [60, 40, 0]) await queue.add('link.rotated', {}, { timestamp: startMs - agoMs * 60_000 });
  const { oldestAgeMs, growingMs } = await backlog();
  expect(growingMs).toBe(hourMs);
  expect(oldestAgeMs).toBeGreaterThanOrEqual(hourMs);
  await rig.redis.rpush(rig.keys.outbox('invite-links'), JSON.stringify(eventOf('vip', 1)), '{');
  expect((await backlog()).unpublishedAgeMs).toBeGreaterThan(0);
  await rig.redis.lpop(rig.keys.outbox('invite-links'));
  expect((await backlog()).unpublishedAgeMs).toBeNull();
});

it("finds each group's record under its id, JID or former id", async () => {
  const rig = registryRig();
  const { applyConfig, adopt, resolve, redis, keys } = rig;
  await applyConfig(configOf([line('renamed', 1)]));
  await adopt('renamed', 'ONE');
  const file = configOf([
    line('kept', 1),
    line('resolved', 'CODE00002'),
    line('unresolved', 'CODE00003'),
    line('off', 4, ', enabled: false'),
    line('broken', 5),
  ]);
  await applyConfig(file);
  await adopt('kept', 'ONE');
  await resolve('resolved', jid(2), 'CODE00002');
  await redis.hset(keys.group(jid(5)), 'record', '{');
  const states = async (config = file) => {
    const { groups } = await readStatus(rig, config);
    return Object.fromEntries(groups.map(({ group: id, state, linkBy }) => [id, `${state} ${linkBy}`]));
  };
  expect(await states()).toEqual({
    kept: 'fresh adopted',
    resolved: 'fresh adopted',
    unresolved: 'new null',
    off: 'disabled null',
    broken: 'unreadable_record null',
  });
  // A file that no worker has registered yet works too.
  expect(await states(configOf([line('unheard', 7)]))).toEqual({ unheard: 'new null' });
});
