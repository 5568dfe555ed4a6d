/** What a read of the link does to the record: after an uncertain reset, at first sight, and as verification. */
import { describe, expect, it } from 'vitest';
import type { GroupRecord } from '../../src/groups/record.ts';
import { decide } from '../../src/rotation/decide.ts';
import { rejected, resetTo, shows, unknown } from '../support/outcomes.ts';
import {
  adopting,
  apply,
  attempt,
  begin,
  end,
  entry,
  fresh,
  giveUp,
  hourMs,
  info,
  reading,
  request,
  same,
  scheduled,
  settled,
  t,
  uncertain,
  unread,
  verification,
  verifying,
} from './samples.ts';

const nothing = shows(null);

describe('a reset of unknown effect', () => {
  const open = end(settled, attempt(), unknown(false), t + 30_000).record;
  const ended = end(settled, attempt(), unknown(true), t + 300).record;

  it('is committed as a recovery when the link changed', () => {
    const { record, events } = end(open, reading(), shows(fresh), t + 31_000);
    expect(record).toMatchObject({ uncertain: null, link: { code: 'NEW' }, resetBegunAt: t, dueAt: t + 3_631_000 });
    expect(record.verificationOwedAt).toBe(t + 90_000);
    expect(events).toMatchObject([{ type: 'link.rotated', reason: 'recovery', inviteCode: 'NEW' }]);
  });
  it('stays open, and is read again later, while the link is the same', () => {
    const { record, events } = end(open, reading({ begunAt: t + 31_000 }), shows(same), t + 31_000);
    expect(record.uncertain).toMatchObject({ readAt: t + 33_000, reads: 1 });
    expect(events).toEqual([]);
  });
  it('never postpones a read-back beyond the settle time', () => {
    const { record } = end(open, reading({ begunAt: t + 89_500 }), shows(same), t + 89_600);
    expect(record.uncertain?.readAt).toBe(t + 90_000);
  });
  it('is settled by a read that started after the settle time', () => {
    const { record } = end(open, reading({ begunAt: t + 90_000 }), shows(same), t + 90_100);
    expect(record.uncertain).toBeNull();
    expect(decide(record, scheduled, t + 90_100)).toEqual({ do: 'reset' });
  });
  it('is settled at once if the API has ended the call and the link is the same', () => {
    const { record } = end(ended, reading({ begunAt: t + 2_000 }), shows(same), t + 2_100);
    expect(record.uncertain).toBeNull();
  });
  describe('that a read did not show, perhaps because it came from a cache', () => {
    const asked = { ...attempt({ id: 'a2', begunAt: t + 5_000 }), request: { ...info, identity: 'job-1' } };
    const again = (record: GroupRecord) => {
      const doubted = end(record, asked, unknown(true), t + 5_100).record;
      return end(doubted, reading({ begunAt: t + 5_200 }), shows(fresh), t + 5_300);
    };
    const unseen = end(ended, reading({ begunAt: t + 2_000 }), shows(same), t + 2_100).record;

    it('may have made the link that is read back after the next one, so that answers no one-off', () => {
      const { record, events } = again(unseen);
      expect(events).toMatchObject([{ reason: 'recovery', inviteCode: 'NEW', request: null }]);
      expect(record).toMatchObject({ resetBegunAt: t, resetCovers: null, unseenResetAt: null });
      expect(decide(record, request({ requestedAt: t + 4_000 }), t + 5_400)).toEqual({ do: 'reset' });
    });
    it('has taken effect after all if the read that is owed shows another link', () => {
      const { record, events } = end(unseen, verifying({ begunAt: t + 90_000 }), shows(fresh), t + 90_100);
      expect(events).toMatchObject([{ type: 'link.rotated', reason: 'recovery', inviteCode: 'NEW', request: null }]);
      expect(record).toMatchObject({ resetBegunAt: t, unseenResetAt: null, dueAt: t + 90_100 + hourMs });
    });
    it('is forgotten once a read after the settle time has shown the same link', () => {
      const seen = end(unseen, verifying({ begunAt: t + 90_000 }), shows(same), t + 90_100).record;
      expect(seen.unseenResetAt).toBeNull();
      expect(decide(again(seen).record, request(), t + 5_400)).toEqual({ do: 'finish', as: 'answered' });
    });
  });
  it('is not settled if no link is shown', () => {
    const { record, events } = end(open, reading({ begunAt: t + 31_000 }), nothing, t + 31_000);
    expect(record.uncertain).not.toBeNull();
    expect(events).toEqual([]);
  });
  it('is not settled by a link if none was known before, but the link is published', () => {
    const { record, events } = end({ ...open, link: null }, reading(), shows(fresh), t + 31_000);
    expect(record.uncertain).toMatchObject({ reads: 1 });
    expect(events).toMatchObject([{ type: 'link.changed', reason: 'adopted', inviteCode: 'NEW' }]);
  });
  it('is read back soon after a failed read, and less often after each failure', () => {
    const postponed = (failedReads: number) =>
      apply({ ...open, uncertain: { ...open.uncertain!, failedReads } }, { kind: 'postponed' }, t + 31_000).record;
    expect(postponed(0).uncertain).toMatchObject({ readAt: t + 31_500, failedReads: 1, openUntil: t + 90_000 });
    expect(postponed(1).uncertain).toMatchObject({ readAt: t + 32_000, failedReads: 2 });
    expect(postponed(9).uncertain).toMatchObject({ readAt: t + 46_000 });
  });
  it('is read back ever less often by the settler if the API refuses that, but at once for a job', () => {
    const { record } = apply(
      { ...open, uncertain: { ...open.uncertain!, failedReads: 9 } },
      { kind: 'postponed', isRefused: true },
      t + 31_000,
    );
    expect(record.uncertain?.readAt).toBe(t + 287_000);
    expect(decide(record, verification, t + 31_000)).toMatchObject({ do: 'wait', why: 'settling' });
    expect(decide(record, request(), t + 31_000)).toEqual({ do: 'readBack' });
  });
  it('waits for a refusal no longer than the API refused before it', () => {
    const failed = (record: GroupRecord, isRefused: boolean, nowMs: number) =>
      apply(record, { kind: 'postponed', isRefused }, nowMs).record;
    let outage = open;
    for (let i = 1; i <= 40; i++) outage = failed(outage, false, t + i * 30_000);
    const refused = failed(outage, true, t + 2_000_000);
    expect(refused.uncertain).toMatchObject({ readAt: t + 2_016_000 });
    expect(failed(refused, true, t + 2_001_000)).toEqual(refused);
    expect(failed(refused, true, t + 2_016_000).uncertain).toMatchObject({ readAt: t + 2_048_000 });
  });
  it('still owes the first read of an entry that was renamed meanwhile', () => {
    const renamed = { ...open, entry: { ...entry, group: 'crew' }, adopt: true };
    const { record } = end(renamed, reading({ begunAt: t + 90_000 }), shows(same), t + 90_100);
    expect(decide(record, verification, t + 90_100)).toEqual({ do: 'adopt' });
    const changed = end(renamed, reading(), shows(fresh), t + 31_000);
    expect(changed.events).toMatchObject([{ group: 'crew', reason: 'recovery' }]);
    expect(changed.record.adopt).toBe(false);
  });
});

describe('a first read', () => {
  it('publishes the live link, and does not move the schedule', () => {
    const { record, events } = end(unread, adopting(), shows(fresh), t + 100);
    expect(record).toMatchObject({
      link: { code: 'NEW' },
      revision: t + 100,
      reason: 'adopted',
      resetBegunAt: null,
      lastResetAt: null,
      dueAt: t,
      adopt: false,
      readDueAt: null,
      verifiedAt: t + 100,
    });
    expect(events).toMatchObject([
      { type: 'link.changed', reason: 'adopted', previousInviteCode: null, previousRevision: null, request: null },
    ]);
    expect(decide(record, scheduled, t + 100)).toEqual({ do: 'reset' });
  });
  it('publishes a known link again for an entry that was renamed', () => {
    const renamed = { ...settled, entry: { ...entry, group: 'crew' }, adopt: true, readDueAt: t };
    const { record, events } = end(renamed, adopting(), shows(same), t + 100);
    // It replaces the same link as before, never itself.
    expect(events).toMatchObject([
      { group: 'crew', inviteCode: 'OLD', previousInviteCode: 'OLDER', previousRevision: t - hourMs },
    ]);
    expect(record).toMatchObject({ dueAt: t, lastResetAt: t - hourMs });
  });
  it('counts a link that is not shown, and the group may then be reset', () => {
    const { record, events } = end(unread, adopting(), nothing, t + 100);
    expect(record).toMatchObject({ adopt: false, readDueAt: null, link: null, revision: null, unverified: 1 });
    expect(events).toEqual([]);
    expect(decide(record, scheduled, t + 100)).toEqual({ do: 'reset' });
  });
  it('ends a failure that was reported before', () => {
    const failing = giveUp(unread, verification, { code: 'not_admin', message: 'no', httpStatus: 403 }).record;
    expect(failing.failure).not.toBeNull();
    expect(end(failing, adopting(), shows(fresh), t + 100).record.failure).toBeNull();
    expect(end(failing, adopting(), nothing, t + 100).record.failure).toBeNull();
  });
  it('is owed until it succeeds', () => {
    const failed = end(unread, adopting(), rejected, t + 100).record;
    const { record } = apply(failed, { kind: 'postponed' }, t + 100);
    expect(record).toMatchObject({ adopt: true, readDueAt: t + 2_100, unverified: 1, verifiedAt: null });
    expect(apply(record, { kind: 'postponed' }, t + 2_100).record.readDueAt).toBe(t + 6_100);
    expect(apply({ ...record, unverified: 40 }, { kind: 'postponed' }, t).record.readDueAt).toBe(t + 60_000);
    const unanswered = end(unread, adopting(), unknown(false), t + 100).record;
    expect(unanswered).toMatchObject({ adopt: true, uncertain: null });
  });
  it('names the link that consumers hold under its id from another WhatsApp group, with a higher revision', () => {
    const changed = { ...unread, predecessor: { code: 'THEIRS', revision: t + 5_000 } };
    const { record, events } = end(changed, adopting(), shows(fresh), t + 100);
    expect(events).toMatchObject([{ revision: t + 5_001, previousInviteCode: 'THEIRS', previousRevision: t + 5_000 }]);
    expect(record.predecessor).toBeNull();
    const reset = end(record, attempt(), resetTo('THIRD'), t + 200);
    expect(reset.events).toMatchObject([{ previousInviteCode: 'NEW', previousRevision: t + 5_001 }]);
  });
});

describe('a periodic verification', () => {
  it('publishes a link that someone else made, and does not move the schedule', () => {
    const { record, events } = end(settled, verifying(), shows(fresh), t + 100);
    expect(record).toMatchObject({ link: { code: 'NEW' }, revision: t + 100, resetBegunAt: null, dueAt: t });
    expect(record.lastResetAt).toBe(settled.lastResetAt);
    expect(events).toMatchObject([{ type: 'link.changed', reason: 'drift', request: null }]);
  });
  it('publishes nothing if the link is the same', () => {
    const { record, events } = end({ ...settled, unverified: 2 }, verifying(), shows(same), t + 100);
    expect(events).toEqual([]);
    expect(record).toMatchObject({ verifiedAt: t + 100, unverified: 0, revision: settled.revision });
  });
  it('counts links that are not shown, and changes nothing', () => {
    const { record, events } = end(settled, verifying(), nothing, t + 100);
    expect(record).toMatchObject({ link: settled.link, revision: settled.revision, unverified: 1 });
    expect(events).toEqual([]);
  });
  it('counts failed reads, and is postponed', () => {
    const once = apply({ ...settled, verificationOwedAt: t }, { kind: 'postponed' }, t + 1).record;
    expect(once).toMatchObject({ unverified: 1, verificationOwedAt: t + 60_001 });
    expect(apply(once, { kind: 'postponed' }, t + 2).record.unverified).toBe(2);
  });
  it('also postpones the read of a group that returned', () => {
    const { record } = apply({ ...settled, readDueAt: t }, { kind: 'postponed' }, t + 1);
    expect(record.readDueAt).toBe(t + 60_001);
  });
  it('is postponed without an effect on a newer attempt', () => {
    const busy = begin(settled, attempt());
    expect(apply(busy, { kind: 'postponed' }, t + 1).record.attempt).toEqual(attempt());
  });
  it('settles nothing that became uncertain during the read', () => {
    const busy = { ...begin(settled, verifying()), uncertain };
    const { record, events } = end(busy, verifying(), shows(fresh), t + 100);
    expect(record).toMatchObject({ attempt: null, uncertain: { begunAt: t }, link: { code: 'OLD' } });
    expect(events).toEqual([]);
  });
});
