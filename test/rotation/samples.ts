/** The records that the tests of this folder start with, and what can happen to them. */
import { type Attempt, type Entry, type GroupRecord, newRecord, type Uncertain } from '../../src/groups/record.ts';
import { transition } from '../../src/rotation/transition.ts';
import type { Input, Transition, Work } from '../../src/rotation/types.ts';
import type { CallOutcome, Failure } from '../../src/ryze/outcome.ts';
import { jid } from '../support/outcomes.ts';

export { jid };

export const hourMs = 3_600_000;
/** 2025-11-22T09:00:00Z, a Saturday. */
export const t = 1_763_802_000_000;
export const settleTimeMs = 90_000;

export const entry: Entry = {
  group: 'vip',
  instance: 'bot',
  identifier: jid,
  enabled: true,
  schedule: { kind: 'every', everyMs: hourMs, timezone: 'UTC', window: null },
  queues: ['invite-links'],
  verifyEveryMs: 24 * hourMs,
};

/** A group that was rotated an hour ago and is due now. */
export const settled: GroupRecord = {
  ...newRecord,
  entry,
  jid,
  link: { code: 'OLD', url: 'https://chat.whatsapp.com/OLD' },
  revision: t - hourMs,
  previous: { code: 'OLDER', revision: t - 2 * hourMs },
  reason: 'schedule',
  rotatedAt: t - hourMs,
  lastResetAt: t - hourMs,
  resetBegunAt: t - hourMs - 300,
  verifiedAt: t - hourMs,
  dueAt: t,
  adopt: false,
};
/** A group that was just registered, and about which nothing is known. */
export const unread: GroupRecord = { ...newRecord, entry, jid, dueAt: t, readDueAt: t };

/** A reset that started at `t`, was not answered, and may still take effect. */
export const uncertain: Uncertain = {
  begunAt: t,
  openUntil: t + 90_000,
  readAt: t,
  reads: 0,
  failedReads: 0,
  request: null,
  covers: null,
};

export const scheduled: Work = { kind: 'scheduled', dueAt: t };
export const verification: Work = { kind: 'verification' };
export const info = { requestId: 'r1', requestedBy: 'me', reason: 'leaked' };
export const request = (over: Partial<Work & { kind: 'request' }> = {}): Work => ({
  kind: 'request',
  identity: 'job-1',
  requestedAt: null,
  attemptsSeen: null,
  position: null,
  link: null,
  request: info,
  ...over,
});

export const attempt = (over: Partial<Attempt> = {}): Attempt => ({
  id: 'a1',
  call: 'reset',
  begunAt: t,
  leaseUntil: t + 10_000,
  request: null,
  covers: null,
  ...over,
});
export const reading = (over: Partial<Attempt> = {}) => attempt({ id: 'read', call: 'readBack', ...over });
export const verifying = (over: Partial<Attempt> = {}) => attempt({ id: 'verify', call: 'verify', ...over });
export const adopting = (over: Partial<Attempt> = {}) => attempt({ id: 'adopt', call: 'adopt', ...over });

/** Invite codes: a new one, and the one that the group has. */
export const fresh = 'NEW';
export const same = 'OLD';

export const apply = (record: GroupRecord, input: Input, nowMs = t): Transition =>
  transition(record, input, nowMs, settleTimeMs);
export const begin = (record: GroupRecord, begun: Attempt): GroupRecord =>
  apply(record, { kind: 'started', attempt: begun }, begun.begunAt).record;
export const expire = (record: GroupRecord, nowMs: number): GroupRecord =>
  apply(record, { kind: 'expired' }, nowMs).record;
/** Starts the attempt, unless one has started, and ends it. */
export const end = (record: GroupRecord, ended: Attempt, outcome: CallOutcome, nowMs: number): Transition =>
  apply(record.attempt === null ? begin(record, ended) : record, { kind: 'ended', attempt: ended, outcome }, nowMs);
export const giveUp = (record: GroupRecord, work: Work, failure: Failure): Transition =>
  apply(record, { kind: 'gaveUp', work, failure });
