import { describe, expect, it } from 'vitest';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import { decide } from '../../src/rotation/decide.ts';
import type { CallOutcome } from '../../src/ryze/outcome.ts';
import { rejected, resetTo, shows, unknown } from '../support/outcomes.ts';
import {
  adopting,
  apply,
  attempt,
  begin,
  end,
  entry,
  expire,
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

describe('an abandoned attempt', () => {
  it('is left to its owner while its lease runs', () => {
    const record = begin(settled, attempt());
    expect(expire(record, t + 9_999)).toBe(record);
  });
  it('becomes open and uncertain if it was a reset', () => {
    const record = expire(begin(settled, attempt()), t + 10_000);
    expect(record.attempt).toBeNull();
    expect(record.uncertain).toMatchObject({ begunAt: t, openUntil: t + 90_000, readAt: t + 10_000 });
    expect(record.verificationOwedAt).toBe(t + 90_000);
  });
  it.each([verifying(), adopting(), reading()])('is forgotten if it was a read ($call)', (read) => {
    const record = expire(begin(settled, read), t + 10_000);
    expect(record).toMatchObject({ attempt: null, uncertain: null });
  });
});

describe('a reset that was answered', () => {
  it('makes a revision by the clock, names the previous one, and moves the due time', () => {
    const mine = attempt({ begunAt: t + 5 });
    const { record, events } = end(begin(settled, mine), mine, resetTo(fresh), t + 200);
    expect(record).toMatchObject({
      attempt: null,
      link: { code: 'NEW' },
      revision: t + 200,
      previous: { code: 'OLD', revision: t - hourMs },
      resetBegunAt: t + 5,
      rotatedAt: t + 200,
      lastResetAt: t + 200,
      dueAt: t + hourMs + 200,
      failure: null,
    });
    expect(events).toEqual([
      {
        version: 1,
        id: `vip.${t + 200}`,
        type: 'link.rotated',
        group: 'vip',
        jid: settled.jid,
        instance: 'bot',
        inviteCode: 'NEW',
        inviteLink: 'https://chat.whatsapp.com/NEW',
        previousInviteCode: 'OLD',
        revision: t + 200,
        previousRevision: t - hourMs,
        reason: 'schedule',
        request: null,
        rotatedAt: new Date(t + 200).toISOString(),
        nextRotationAt: new Date(t + hourMs + 200).toISOString(),
      },
    ]);
  });
  it('makes a higher revision although the clock was set back', () => {
    const { record } = end({ ...settled, revision: t + 9_000 }, attempt(), resetTo(fresh), t);
    expect(record.revision).toBe(t + 9_001);
  });
  it('remembers the job that it answered, and names the request', () => {
    const mine = attempt({ request: { ...info, identity: 'job-1' } });
    const { record, events } = end(begin(settled, mine), mine, resetTo(fresh), t);
    expect(record.answered).toEqual(['job-1']);
    expect(events[0]).toMatchObject({ reason: 'request', request: info });
  });

  describe('is committed by the registration at that time:', () => {
    const inFlight = begin(settled, attempt());
    const commit = (over: Partial<GroupRecord>) =>
      apply({ ...inFlight, ...over }, { kind: 'ended', attempt: attempt(), outcome: resetTo(fresh) });

    it('the new period', () => {
      const { record } = commit({
        entry: { ...entry, schedule: { ...entry.schedule, kind: 'every', everyMs: 60_000 } },
      });
      expect(record.dueAt).toBe(t + 60_000);
    });
    it('disabled', () => {
      const { record, events } = commit({ entry: { ...entry, enabled: false } });
      expect(record.dueAt).toBeNull();
      expect(events).toMatchObject([{ inviteCode: 'NEW', nextRotationAt: null }]);
    });
    it('the new instance and id', () => {
      const { events } = commit({ entry: { ...entry, instance: 'bot2', group: 'crew' }, adopt: true });
      expect(events).toMatchObject([{ group: 'crew', instance: 'bot2', id: `crew.${t}` }]);
    });
    it('a group that left the file: published, with no next rotation', () => {
      const { events } = commit({ removedAt: t });
      expect(events).toMatchObject([{ type: 'link.rotated', inviteCode: 'NEW', nextRotationAt: null }]);
    });
    it('an id that names another WhatsApp group: nothing is published', () => {
      const { record, events } = commit({ removedAt: t, replaced: true });
      expect(events).toEqual([]);
      expect(record).toMatchObject({ attempt: null, link: { code: 'NEW' }, revision: settled.revision });
    });
    it.each(['NEW', 'LATER'])('and later its new id, as %s: the previous link is the last published one', (code) => {
      const twice = apply(begin(commit({ removedAt: t, replaced: true }).record, attempt({ id: 'a2' })), {
        kind: 'ended',
        attempt: attempt({ id: 'a2' }),
        outcome: resetTo('NEWER'),
      }).record;
      for (const record of [commit({ removedAt: t, replaced: true }).record, twice]) {
        const back = { ...record, entry: { ...entry, group: 'crew' }, removedAt: null, replaced: false, adopt: true };
        const shown = record === twice && code === 'NEW' ? 'NEWER' : code;
        const { events } = end(back, adopting(), shows(shown), t + 1_000);
        expect(events).toMatchObject([
          { inviteCode: shown, previousInviteCode: 'OLD', previousRevision: settled.revision, reason: 'adopted' },
        ]);
      }
    });
  });
});

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
  it('still owes the first read of an entry that was renamed meanwhile', () => {
    const renamed = { ...open, entry: { ...entry, group: 'crew' }, adopt: true };
    const { record } = end(renamed, reading({ begunAt: t + 90_000 }), shows(same), t + 90_100);
    expect(decide(record, verification, t + 90_100)).toEqual({ do: 'adopt' });
    const changed = end(renamed, reading(), shows(fresh), t + 31_000);
    expect(changed.events).toMatchObject([{ group: 'crew', reason: 'recovery' }]);
    expect(changed.record.adopt).toBe(false);
  });
});

describe('a fenced reset', () => {
  const made = resetTo(fresh);
  const taken = { ...settled, settled: 'another' };
  const late = (record: GroupRecord, outcome: CallOutcome) =>
    apply(record, { kind: 'ended', attempt: attempt(), outcome }, t + 60_000);

  it('commits nothing, and makes a group at rest uncertain at once', () => {
    const { record, events, fenced } = late(taken, made);
    expect([events, fenced, record.link, record.revision]).toEqual([[], true, settled.link, settled.revision]);
    expect(decide(record, verification, t + 60_000)).toEqual({ do: 'readBack' });
    expect(record.verificationOwedAt).toBe(t + 60_000);
  });
  it('answers no one-off by its counts once Redis has forgotten it', () => {
    const covers = { queue: 'rotations-bot', lastJob: 9, attempt: 9 };
    const counted = (record: GroupRecord) =>
      apply(record, { kind: 'ended', attempt: attempt({ covers }), outcome: made }, t + 60_000).record.uncertain
        ?.covers;
    expect(counted(taken)).toEqual(covers);
    expect([counted(newRecord), counted({ ...taken, resetsFrom: t + 90_000 })]).toEqual([null, null]);
  });
  it('changes nothing if it had no effect', () => {
    expect(late(taken, rejected)).toEqual({ record: taken, events: [], fenced: true });
  });
  it('is not fenced if only the reply to its commit was lost', () => {
    const committed = apply(begin(settled, attempt()), { kind: 'ended', attempt: attempt(), outcome: made });
    expect(late(committed.record, made)).toEqual({ record: committed.record, events: [], fenced: false });
  });
  it('is read back after the read in flight, whatever that shows, and its link is a recovery', () => {
    for (const shown of [same, fresh]) {
      const read = verifying({ begunAt: t + 50_000 });
      const after = end(late(begin(settled, read), made).record, read, shows(shown), t + 60_100);
      expect(after.events).toEqual([]);
      expect(decide(after.record, verification, t + 60_100)).toEqual({ do: 'readBack' });
      const back = reading({ begunAt: t + 60_200 });
      const told = end(begin(after.record, back), back, shows(fresh), t + 60_300);
      expect(told.events).toMatchObject([{ type: 'link.rotated', reason: 'recovery', inviteCode: 'NEW' }]);
      expect(told.record).toMatchObject({ uncertain: null, verificationOwedAt: t + 60_000 });
    }
  });
  it('is read back after a reset in flight, and the link that is then live is published', () => {
    const other = attempt({ id: 'other', begunAt: t + 55_000 });
    const { record } = late(begin(settled, other), made);
    const done = end(record, other, resetTo('OTHER'), t + 60_100);
    expect(done.events).toMatchObject([{ reason: 'schedule', inviteCode: 'OTHER' }]);
    expect(decide(done.record, verification, t + 60_100)).toEqual({ do: 'readBack' });
    const back = reading({ begunAt: t + 60_200 });
    const readAs = (code: string) => end(begin(done.record, back), back, shows(code), t + 60_300);
    expect(readAs('NEW').events).toMatchObject([{ reason: 'recovery', inviteCode: 'NEW' }]);
    expect(readAs('OTHER')).toMatchObject({ events: [], record: { uncertain: null } });
  });
  it('stays uncertain after a read-back that started before its answer', () => {
    const back = reading({ begunAt: t + 50_000 });
    const doubted = { ...taken, uncertain: { ...uncertain, openUntil: t + 40_000, readAt: t + 40_000 } };
    const { record } = late(begin(doubted, back), made);
    const early = end(record, back, shows(same), t + 60_100);
    const again = reading({ id: 'again', begunAt: t + 60_200 });
    const told = end(begin(early.record, again), again, shows(fresh), t + 60_300);
    expect(told.events).toMatchObject([{ reason: 'recovery', inviteCode: 'NEW' }]);
  });
  it('owes a verification, which only a later read pays', () => {
    const owing = { ...late(taken, made).record, uncertain: null };
    const pay = (begunAt: number) => {
      const read = verifying({ begunAt });
      return end(begin(owing, read), read, shows(same), t + 60_100).record.verificationOwedAt;
    };
    expect(pay(t + 50_000)).toBe(t + 60_000);
    expect(pay(t + 60_000)).toBeNull();
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
    expect(record).toMatchObject({ adopt: true, readDueAt: t + 60_100, unverified: 1, verifiedAt: null });
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

it('an attempt that starts later ends the wait for a forgotten reset', () => {
  const lost = { ...settled, resetsFrom: t + 5 };
  expect(begin(lost, attempt({ begunAt: t + 4 })).resetsFrom).toBe(t + 5);
  expect(begin(lost, attempt({ begunAt: t + 5 })).resetsFrom).toBeNull();
});

it('an attempt without effect changes only the count of attempts', () => {
  expect(end(settled, attempt(), rejected, t).record).toEqual({ ...settled, attempts: 1, settled: 'a1' });
});

it('an attempt renews its lease, unless it was taken over', () => {
  const renewed = { kind: 'renewed', id: 'a1', leaseUntil: t + 13_000 } as const;
  expect(apply(begin(settled, attempt()), renewed).record.attempt?.leaseUntil).toBe(t + 13_000);
  const others = begin(settled, attempt({ id: 'b' }));
  expect(apply(others, renewed).record).toBe(others);
});

it('keeps the keys of a newer version through every change', () => {
  const newer = { ...settled, mood: 'good', link: { ...settled.link!, shownTo: 3 } };
  expect(begin(newer, attempt())).toMatchObject({ mood: 'good', link: { shownTo: 3 } });
  expect(end(newer, attempt(), resetTo(fresh), t).record).toMatchObject({ mood: 'good' });
  expect(newRecord).not.toHaveProperty('mood');
});
