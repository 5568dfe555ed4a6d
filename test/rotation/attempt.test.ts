/** How an attempt to reset a link ends: answered, abandoned, fenced, or without effect. */
import { describe, expect, it } from 'vitest';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import { decide } from '../../src/rotation/decide.ts';
import type { CallOutcome } from '../../src/ryze/outcome.ts';
import { rejected, resetTo, shows } from '../support/outcomes.ts';
import {
  adopting,
  apply,
  attempt,
  begin,
  end,
  entry,
  expire,
  fresh,
  hourMs,
  info,
  reading,
  same,
  settled,
  t,
  uncertain,
  verification,
  verifying,
} from './samples.ts';

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
