import { describe, expect, it } from 'vitest';
import { type Attempt, type GroupRecord, newRecord } from '../../src/groups/record.ts';
import {
  decide,
  type Ending,
  type Failure,
  type GroupRules,
  transition,
  verificationAt,
  type Work,
} from '../../src/rotation/attempt.ts';

const t = 1_763_802_000_000;
const jid = '120363406289005073@g.us';
const rules: GroupRules = {
  group: 'vip',
  instance: 'bot',
  nextDue: (afterMs) => afterMs + 3_600_000,
  periodMs: 3_600_000,
  verifyEveryMs: 86_400_000,
  settleTimeMs: 90_000,
};

const scheduled: Work = { kind: 'scheduled', dueAt: t };
const verification: Work = { kind: 'verification' };
const info = { requestId: 'r1', requestedBy: 'me', reason: 'leaked' };
const request = (over: Partial<Work & { kind: 'request' }> = {}): Work => ({
  kind: 'request',
  jobId: 'job-1',
  requestedAt: null,
  request: info,
  ...over,
});
const attempt = (over: Partial<Attempt> = {}): Attempt => ({
  id: 'a1',
  call: 'reset',
  begunAt: t,
  leaseUntil: t + 10_000,
  request: null,
  ...over,
});
/** A group that was rotated an hour ago and is due now. */
const settled: GroupRecord = {
  ...newRecord,
  jid,
  link: { code: 'OLD', url: 'https://chat.whatsapp.com/OLD' },
  revision: t - 3_600_000,
  rotatedAt: t - 3_600_000,
  resetBegunAt: t - 3_600_300,
  verifiedAt: t - 3_600_000,
  dueAt: t,
};
const fresh = { jid, code: 'NEW', url: 'https://chat.whatsapp.com/NEW' };
const same = { jid, code: 'OLD', url: 'https://chat.whatsapp.com/OLD' };

const begin = (record: GroupRecord, begun: Attempt) =>
  transition(record, { kind: 'begins', attempt: begun }, begun.begunAt, rules).record;
const lapse = (record: GroupRecord, nowMs: number) => transition(record, { kind: 'lapses' }, nowMs, rules).record;
/** Begins the attempt, unless one has begun, and ends it. */
const end = (record: GroupRecord, ended: Attempt, ending: Ending, nowMs: number) =>
  transition(
    record.attempt === null ? begin(record, ended) : record,
    { kind: 'ends', attempt: ended, ending },
    nowMs,
    rules,
  );
const giveUp = (record: GroupRecord, work: Work, failure: Failure, over: Partial<GroupRules> = {}) =>
  transition(record, { kind: 'gaveUp', work, failure }, t, { ...rules, ...over });

describe('decide', () => {
  const uncertain = { begunAt: t, openUntil: t + 90_000, readAt: t, reads: 0, request: null };
  const cases: [string, Partial<GroupRecord>, Work, number, object][] = [
    ['resets a group that is due', {}, scheduled, t, { do: 'reset' }],
    ['leaves a rotation that was rescheduled', { dueAt: t + 1 }, scheduled, t, { do: 'finish', as: 'obsolete' }],
    [
      'leaves a rotation of a group that is scheduled no more',
      { dueAt: null },
      scheduled,
      t,
      { do: 'finish', as: 'obsolete' },
    ],
    ['resolves a code before anything else', { jid: null, link: null }, scheduled, t, { do: 'resolve' }],
    ['resets for a request without a stamp', { resetBegunAt: t }, request(), t, { do: 'reset' }],
    [
      'resets for a request made after the last reset began',
      {},
      request({ requestedAt: t - 3_600_299 }),
      t,
      { do: 'reset' },
    ],
    [
      'answers a request made before the last reset began',
      {},
      request({ requestedAt: t - 3_600_300 }),
      t,
      { do: 'finish', as: 'answered' },
    ],
    ['answers a job that was answered before', { answered: ['job-1'] }, request(), t, { do: 'finish', as: 'answered' }],
    [
      'does not answer with a link it never made',
      { resetBegunAt: null },
      request({ requestedAt: 1 }),
      t,
      { do: 'reset' },
    ],
    ['waits while another attempt runs', { attempt: attempt() }, request(), t, { do: 'wait', ms: 250, why: 'busy' }],
    [
      'waits for no longer than the lease',
      { attempt: attempt({ leaseUntil: t + 20 }) },
      request(),
      t,
      { do: 'wait', ms: 20, why: 'busy' },
    ],
    [
      'does not answer while a reset is in flight',
      { attempt: attempt() },
      request({ requestedAt: 1 }),
      t,
      { do: 'wait', ms: 250, why: 'busy' },
    ],
    ['reads back after an uncertain reset', { uncertain }, scheduled, t, { do: 'readBack' }],
    ['reads back before it answers', { uncertain }, request({ requestedAt: 1 }), t, { do: 'readBack' }],
    [
      'paces its read-backs',
      { uncertain: { ...uncertain, readAt: t + 2_000 } },
      scheduled,
      t,
      { do: 'wait', ms: 2_000, why: 'settling' },
    ],
    [
      'waits out an open call when no link is known',
      { uncertain, link: null },
      scheduled,
      t + 1,
      { do: 'wait', ms: 89_999, why: 'settling' },
    ],
    [
      'resets when no link is known and the call is settled',
      { uncertain, link: null },
      scheduled,
      t + 90_000,
      { do: 'reset' },
    ],
    [
      'resets when no link is known and the call has ended',
      { uncertain: { ...uncertain, openUntil: null }, link: null },
      scheduled,
      t,
      { do: 'reset' },
    ],
    ['verifies a group at rest', {}, verification, t, { do: 'verify' }],
    ['verifies nothing where no link is known', { link: null }, verification, t, { do: 'finish', as: 'obsolete' }],
    ['reads back instead of verifying', { uncertain }, verification, t, { do: 'readBack' }],
    ['leaves a double alone', { duplicateOf: 'other' }, scheduled, t, { do: 'finish', as: 'duplicate' }],
  ];
  it.each(cases)('%s', (_name, over, work, nowMs, expected) => {
    expect(decide({ ...settled, ...over }, work, nowMs)).toEqual(expected);
  });
});

describe('an abandoned attempt', () => {
  it('leaves a running attempt to its owner', () => {
    const record = begin(settled, attempt());
    expect(lapse(record, t + 9_999)).toBe(record);
  });
  it('takes a dead reset for an open, uncertain one', () => {
    const record = lapse(begin(settled, attempt()), t + 10_000);
    expect(record.attempt).toBeNull();
    expect(record.uncertain).toMatchObject({ begunAt: t, openUntil: t + 90_000, readAt: t + 10_000 });
    expect(record.verificationOwedAt).toBe(t + 90_000);
  });
  it('forgets a dead read', () => {
    const record = lapse(begin(settled, attempt({ call: 'verify' })), t + 10_000);
    expect(record).toMatchObject({ attempt: null, uncertain: null });
  });
});

describe('a reset that was answered', () => {
  it('makes a revision by the clock, names the one before, and moves the due time', () => {
    const mine = attempt({ begunAt: t + 5 });
    const { record, events } = end(begin(settled, mine), mine, { as: 'made', link: fresh }, t + 200);
    expect(record).toMatchObject({
      attempt: null,
      link: { code: 'NEW' },
      revision: t + 200,
      previous: { code: 'OLD', revision: t - 3_600_000 },
      resetBegunAt: t + 5,
      rotatedAt: t + 200,
      dueAt: t + 3_600_200,
      failure: null,
    });
    expect(events).toEqual([
      {
        version: 1,
        id: `vip.${t + 200}`,
        type: 'link.rotated',
        group: 'vip',
        jid,
        instance: 'bot',
        inviteCode: 'NEW',
        inviteLink: 'https://chat.whatsapp.com/NEW',
        previousInviteCode: 'OLD',
        revision: t + 200,
        previousRevision: t - 3_600_000,
        reason: 'schedule',
        request: null,
        rotatedAt: new Date(t + 200).toISOString(),
        nextRotationAt: new Date(t + 3_600_200).toISOString(),
      },
    ]);
  });
  it('makes the next revision although Redis lost its clock', () => {
    const { record } = end({ ...settled, revision: t + 9_000 }, attempt(), { as: 'made', link: fresh }, t);
    expect(record.revision).toBe(t + 9_001);
  });
  it('remembers the job that it answered, and names the request', () => {
    const mine = attempt({ request: { ...info, jobId: 'job-1' } });
    const { record, events } = end(begin(settled, mine), mine, { as: 'made', link: fresh }, t);
    expect(record.answered).toEqual(['job-1']);
    expect(events[0]).toMatchObject({ reason: 'request', request: info });
  });
});

const reading = (over: Partial<Attempt> = {}) => attempt({ id: 'read', call: 'readBack', ...over });
const verifying = (over: Partial<Attempt> = {}) => attempt({ id: 'verify', call: 'verify', ...over });

describe('a reset of unknown effect', () => {
  const open = end(settled, attempt(), { as: 'unknown', over: false }, t + 30_000).record;
  const ended = end(settled, attempt(), { as: 'unknown', over: true }, t + 300).record;

  it('is committed as a recovery when the link changed', () => {
    const { record, events } = end(open, reading(), { as: 'read', link: fresh }, t + 31_000);
    expect(record).toMatchObject({ uncertain: null, link: { code: 'NEW' }, resetBegunAt: t, dueAt: t + 3_631_000 });
    expect(record.verificationOwedAt).toBe(t + 90_000);
    expect(events).toMatchObject([{ type: 'link.rotated', reason: 'recovery', inviteCode: 'NEW' }]);
  });
  it('stays open, and is read again later, while the link is the same', () => {
    const { record, events } = end(open, reading({ begunAt: t + 31_000 }), { as: 'read', link: same }, t + 31_000);
    expect(record.uncertain).toMatchObject({ readAt: t + 33_000, reads: 1 });
    expect(events).toEqual([]);
  });
  it('never puts a read-back off beyond the settle time', () => {
    const { record } = end(open, reading({ begunAt: t + 89_500 }), { as: 'read', link: same }, t + 89_600);
    expect(record.uncertain?.readAt).toBe(t + 90_000);
  });
  it('is settled by a read that began after the settle time', () => {
    const { record } = end(open, reading({ begunAt: t + 90_000 }), { as: 'read', link: same }, t + 90_100);
    expect(record.uncertain).toBeNull();
    expect(decide(record, scheduled, t + 90_100)).toEqual({ do: 'reset' });
  });
  it('is settled at once where the API has ended it and the link is the same', () => {
    const { record } = end(ended, reading({ begunAt: t + 2_000 }), { as: 'read', link: same }, t + 2_100);
    expect(record.uncertain).toBeNull();
  });
  it('is never called changed by a link that cannot be read', () => {
    const { record, events } = end(open, reading({ begunAt: t + 31_000 }), { as: 'read', link: null }, t + 31_000);
    expect(record.uncertain).not.toBeNull();
    expect(events).toEqual([]);
  });
});

describe('a fenced reset', () => {
  const made = { as: 'made', link: fresh } as const;
  const taken = { ...settled, settled: 'another' };
  const end = (record: GroupRecord, ending: Ending) =>
    transition(record, { kind: 'ends', attempt: attempt(), ending }, t + 60_000, rules);

  it('commits nothing, and makes the group uncertain at once when it is at rest', () => {
    const { record, events, fenced } = end(taken, made);
    expect([events, fenced, record.link, record.revision]).toEqual([[], true, settled.link, settled.revision]);
    expect(decide(record, verification, t + 60_000)).toEqual({ do: 'readBack' });
    expect(record.verificationOwedAt).toBe(t + 60_000);
  });
  it('changes nothing where it had no effect', () => {
    expect(end(taken, { as: 'noEffect' })).toEqual({ record: taken, events: [], fenced: true });
  });
  it('is none when the reply to its commit was lost', () => {
    const committed = transition(
      begin(settled, attempt()),
      { kind: 'ends', attempt: attempt(), ending: made },
      t,
      rules,
    );
    expect(end(committed.record, made)).toEqual({ record: committed.record, events: [], fenced: false });
  });
  it('leaves a debt when another attempt is in flight, which only a later read pays', () => {
    const pay = (begunAt: number) => {
      const { record } = end(begin(settled, verifying({ begunAt })), made);
      expect(record.verificationOwedAt).toBe(t + 60_000);
      const read = { kind: 'ends', attempt: verifying({ begunAt }), ending: { as: 'read', link: same } } as const;
      return transition(record, read, t + 60_100, rules).record.verificationOwedAt;
    };
    expect(pay(t + 50_000)).toBe(t + 60_000);
    expect(pay(t + 60_000)).toBeNull();
  });
});

describe('verification', () => {
  it('adopts a link that someone else made, and leaves the schedule alone', () => {
    const { record, events } = end(settled, verifying(), { as: 'read', link: fresh }, t + 100);
    expect(record).toMatchObject({ link: { code: 'NEW' }, revision: t + 100, resetBegunAt: null, dueAt: t });
    expect(events).toMatchObject([{ type: 'link.changed', reason: 'drift', request: null }]);
  });
  it('counts links that it is not shown, and changes nothing', () => {
    const { record, events } = end(settled, verifying(), { as: 'read', link: null }, t + 100);
    expect(record).toMatchObject({ link: settled.link, revision: settled.revision, unreadable: 1 });
    expect(events).toEqual([]);
  });
  it('is planned a period after the link was last seen', () => {
    expect(verificationAt(settled, rules)).toBe(settled.verifiedAt! + 86_400_000);
    expect(verificationAt(settled, { ...rules, verifyEveryMs: null })).toBeNull();
    expect(verificationAt({ ...settled, jid: null }, rules)).toBeNull();
  });
  it('comes early when it is owed', () => {
    expect(verificationAt({ ...settled, verificationOwedAt: t + 90_000 }, rules)).toBe(t + 90_000);
  });
  it('is put off after a failure', () => {
    const owed = { ...settled, verificationOwedAt: t };
    const { record } = transition(owed, { kind: 'postponed' }, t + 1, rules);
    expect(verificationAt(record, rules)).toBe(t + 60_001);
  });
  it('is put off without a word to who has begun since', () => {
    const busy = begin(settled, attempt());
    expect(transition(busy, { kind: 'postponed' }, t + 1, rules).record.attempt).toEqual(attempt());
  });
});

describe('giving up', () => {
  const error = { code: 'not_admin', message: 'must be admin', httpStatus: 403 } as const;

  it('tells the last known link, and tries again after a doubling time within the period', () => {
    const first = giveUp(settled, scheduled, error);
    expect(first.record.dueAt).toBe(t + 300_000);
    expect(first.events).toMatchObject([
      {
        type: 'rotation.failed',
        id: `vip.${settled.revision}.failed.0`,
        inviteCode: 'OLD',
        linkUncertain: false,
        error,
        nextAttemptAt: new Date(t + 300_000).toISOString(),
      },
    ]);
    const second = giveUp(first.record, scheduled, error);
    expect(second.record.dueAt).toBe(t + 600_000);
    const tenth = giveUp({ ...settled, failure: { ...second.record.failure!, count: 9 } }, scheduled, error);
    expect(tenth.record.dueAt).toBe(t + rules.periodMs);
  });
  it('leaves the schedule alone when a one-off failed', () => {
    const { record, events } = giveUp({ ...settled, dueAt: t + 50 }, request(), error);
    expect(record.dueAt).toBe(t + 50);
    expect(events).toMatchObject([{ reason: 'request', request: info }]);
  });
  it('brings the next rotation forward when a one-off leaves a link that may be dead', () => {
    const open = end({ ...settled, dueAt: t + 3_600_000 }, attempt(), { as: 'unknown', over: false }, t).record;
    const { record, events } = giveUp(open, request(), error);
    expect(record.dueAt).toBe(t + 300_000);
    expect(events).toMatchObject([{ linkUncertain: true }]);
  });
  it('can tell of a group that never had a link', () => {
    const { events } = giveUp({ ...newRecord, dueAt: t }, scheduled, error);
    expect(events).toMatchObject([
      { id: 'vip.0.failed.0', jid: null, inviteCode: null, revision: null, rotatedAt: null },
    ]);
  });
});

it('resolving a code gives the group its JID and the link to compare with later', () => {
  const ending = { as: 'resolved', jid, link: same, duplicateOf: null } as const;
  const { record } = end(newRecord, attempt({ call: 'resolve' }), ending, t);
  expect(record).toMatchObject({ attempt: null, settled: 'a1', jid, link: { code: 'OLD' }, revision: null });
});

it('an attempt without effect leaves nothing behind but the number of attempts', () => {
  expect(end(settled, attempt(), { as: 'noEffect' }, t).record).toEqual({ ...settled, attempts: 1, settled: 'a1' });
});

it('an attempt that lives keeps its lease, and one that was taken over does not', () => {
  const lives = { kind: 'lives', id: 'a1', leaseUntil: t + 13_000 } as const;
  expect(transition(begin(settled, attempt()), lives, t, rules).record.attempt?.leaseUntil).toBe(t + 13_000);
  const others = begin(settled, attempt({ id: 'b' }));
  expect(transition(others, lives, t, rules).record).toBe(others);
});
