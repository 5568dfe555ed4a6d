/** A status as it is read from Redis, and the health of a worker. */
import type { Health } from '../../src/ops/readiness.ts';
import type { GroupDetail } from '../../src/status/group.ts';
import type { GroupStatus } from '../../src/status/groupStatus.ts';
import { type List, listOf } from '../../src/status/list.ts';
import type { InstanceStatus, Status, WorkerStatus } from '../../src/status/status.ts';
import { type Summary, summaryOf } from '../../src/status/summary.ts';

const hourMs = 3_600_000;

export const well: Health = {
  stopping: false,
  redisWriteAgeMs: 100,
  tickAgeMs: 4_000,
  stuck: [],
  configBroken: false,
  paused: [],
  config: { hash: '0123456789ab', since: Date.parse('2026-01-04T18:30:00.000Z') },
  redisTrouble: null,
};

export function group(id: string, over: Partial<GroupStatus> = {}): GroupStatus {
  return {
    group: id,
    title: null,
    instance: 'bot',
    jid: null,
    state: 'fresh',
    linkAgeMs: hourMs,
    periodMs: 2 * hourMs,
    revision: 1,
    linkBy: 'schedule',
    nextRotationAt: '2026-01-05T13:00:00.000Z',
    lastError: null,
    unverified: 0,
    duplicateOf: null,
    ...over,
  };
}

export function instance(name: string, over: Partial<InstanceStatus> = {}): InstanceStatus {
  return {
    instance: name,
    budget: { used: 40, limit: 100, foreign: 5 },
    gate: null,
    queue: { waiting: 3, active: 2, delayed: 1 },
    servedBy: [
      { host: 'host-1', pid: 12 },
      { host: 'host-2', pid: 7 },
    ],
    ...over,
  };
}

export function worker(host: string, over: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    host,
    pid: 12,
    version: '1.2.3',
    startedAt: '2026-01-02T08:00:00.000Z',
    config: { hash: '0123456789ab', since: '2026-01-04T18:30:00.000Z' },
    serves: 2,
    ...over,
  };
}

export function detail(id: string, over: Partial<GroupDetail> = {}): GroupDetail {
  return {
    ...group(id, { jid: '120363406289005073@g.us' }),
    at: '2026-01-05T12:00:00.000Z',
    stateSince: '2026-01-05T11:00:00.000Z',
    enabled: true,
    schedule: 'every 24h',
    verifyEveryMs: hourMs,
    queues: ['invite-links'],
    lastResetAt: '2026-01-05T11:00:00.000Z',
    verifiedAt: '2026-01-05T11:30:00.000Z',
    nextAttemptAt: null,
    history: [
      {
        ...{ revision: 1_767_610_800_123, from: '2026-01-05T11:00:00.123Z', until: null, reason: 'request' },
        ...{ requestedBy: 'ana@web-1', requestReason: 'found on a public site' },
      },
      {
        ...{ revision: 1_767_524_400_119, from: '2026-01-04T11:00:00.119Z', until: '2026-01-05T11:00:00.123Z' },
        ...{ reason: 'schedule', requestedBy: null, requestReason: null },
      },
      {
        ...{ revision: 1_767_438_000_000, from: '2026-01-03T11:00:00.000Z', until: '2026-01-04T11:00:00.119Z' },
        ...{ reason: 'adopted', requestedBy: null, requestReason: null },
      },
    ],
    ...over,
  };
}

/** With all groups on one page, and what follows from them. */
export function statusOf<T extends Omit<Status, keyof Summary | 'page'>>(all: T): T & Summary & List {
  const names = all.instances.map(({ instance: name }) => name);
  return { ...all, ...summaryOf(all.groups, names), ...listOf(all.groups, { search: '', page: 1 }, 1_000_000) };
}

export const healthy: Status = statusOf({
  at: '2026-01-05T12:00:00.000Z',
  lastTickAgeMs: 2_000,
  groups: [group('vip')],
  instances: [instance('bot')],
  paused: [],
  outbox: { 'invite-links': 0 },
  results: { 'invite-links': 7 },
  resultsByState: { 'invite-links': { waiting: 7, active: 0, delayed: 0, failed: 0 } },
  backlog: { 'invite-links': { oldestAgeMs: 5_000, growingMs: 3_000, unpublishedAgeMs: null } },
  workers: [worker('host-1')],
});

/** An ordinary bad day: one instance is disconnected, and two groups need attention. */
export function badDay(): Status {
  const { at } = healthy;
  const failedAt = '2026-01-05T11:48:00.000Z';
  const notAdmin = {
    code: 'not_admin',
    message: 'Not authorized to reset group invite link (must be admin)',
    at: failedAt,
    since: '2026-01-05T08:12:00.000Z',
    count: 3,
  };
  const gone = {
    code: 'group_not_found',
    message: 'Group not found or you are not a member of this group',
    at: failedAt,
    since: failedAt,
    count: 1,
  };
  const named: GroupStatus[] = [
    group('course-2026', { instance: 'support', state: 'failing', lastError: notAdmin, linkAgeMs: 27 * hourMs }),
    group('alumni', { instance: 'support', state: 'failing', lastError: gone, linkAgeMs: null, periodMs: null }),
    group('vip', { state: 'uncertain', linkAgeMs: 25 * hourMs, linkBy: 'request' }),
    group('launch', { state: 'overdue', linkAgeMs: 24.2 * hourMs, nextRotationAt: '2026-01-05T11:48:00.000Z' }),
    group('onboarding', { state: 'rotating', linkAgeMs: 24 * hourMs, nextRotationAt: at }),
    group('press', { linkBy: 'drift', linkAgeMs: 2 * hourMs, nextRotationAt: '2026-01-06T10:00:00.000Z' }),
    group('partners', { linkBy: 'recovery', linkAgeMs: 7 * hourMs, unverified: 2 }),
  ];
  const fresh = Array.from({ length: 33 }, (_, i) => {
    const linkAgeMs = (((i * 7) % 23) + 0.5) * hourMs;
    const nextRotationAt = new Date(Date.parse(at) + 24 * hourMs - linkAgeMs).toISOString();
    return group(`city-${String(i + 1).padStart(2, '0')}`, { linkAgeMs, nextRotationAt });
  });
  const archive = group('archive', {
    state: 'disabled',
    periodMs: null,
    nextRotationAt: null,
    linkAgeMs: 900 * hourMs,
  });
  return statusOf({
    ...healthy,
    groups: [...named, ...fresh, archive].map(({ periodMs, instance: by, ...one }) => ({
      ...one,
      instance: by === 'bot' ? 'community-bot' : by,
      periodMs: periodMs && 24 * hourMs,
    })),
    instances: [
      instance('community-bot', { budget: { used: 62, limit: 100, foreign: 0 } }),
      instance('support', {
        budget: { used: 3, limit: 100, foreign: 1 },
        gate: { reason: 'instance_disconnected', opensInMs: 94_000, closedForMs: 754_000 },
        queue: { waiting: 12, active: 0, delayed: 0 },
      }),
    ],
  });
}

/** The text of a page, as far as a search for a sentence needs it. */
export function plainText(page: string): string {
  return page
    .replace(/<style>.*<\/style>|<script>.*<\/script>/gs, '')
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll('&#39;', "'");
}
