/** Entries that are renamed, and entries that get another WhatsApp group: the state of a JID stays with the JID. */

import { describe, expect, it } from 'vitest';
import { findGroup } from '../../src/groups/jids.ts';
import { rejected, resetTo, unknown } from '../support/outcomes.ts';
import { jid, line, registryRig } from './registryRig.ts';

const summary = ({ group, inviteCode, previousInviteCode, reason }: Record<string, unknown>) => [
  group,
  inviteCode,
  previousInviteCode,
  reason,
];

/** Under one id, each revision is higher than the one before and names it. */
async function expectInOrder(rig: ReturnType<typeof registryRig>, id: string): Promise<void> {
  const events = (await rig.events()).filter(({ group }) => group === id);
  for (const [i, event] of events.entries()) {
    const before = events[i - 1];
    if (before === undefined) continue;
    expect(event.revision, `event ${i} of ${id}`).toBeGreaterThan(before.revision ?? 0);
    expect(event.previousRevision, `event ${i} of ${id}`).toBe(before.revision);
  }
}

describe('an entry that is renamed', () => {
  it('keeps its WhatsApp group, times and revisions, and is not reset', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const before = await rig.record('a');
    expect(await rig.sync(line('b', 1))).toMatchObject({ added: ['b'], removed: ['a'], duplicates: [] });
    expect(await rig.record('b')).toMatchObject({
      entry: { group: 'b' },
      dueAt: before.dueAt,
      revision: before.revision,
      lastResetAt: before.lastResetAt,
      adopt: true,
      readDueAt: expect.any(Number),
    });
    const { record } = await rig.adopt('b', 'ONE');
    expect(record.revision).toBeGreaterThan(before.revision!);
    expect(record.dueAt).toBe(before.dueAt);
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'ONE', null, 'schedule'],
      ['b', 'ONE', null, 'adopted'],
    ]);
  });

  it('keeps the attempt in flight, so that no other reset of its group begins', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const attempt = await rig.begin('a');
    await rig.sync(line('b', 1));
    expect((await rig.record('b')).attempt).toEqual(attempt);
    expect(await rig.unsettledOf(jid(1))).toBe(attempt.leaseUntil);
    const { fenced } = await rig.apply(jid(1), {
      kind: 'ended',
      attempt,
      outcome: resetTo('TWO', jid(1)),
    });
    expect(fenced).toBe(false);
    expect((await rig.events()).map(summary).at(-1)).toEqual(['b', 'TWO', 'ONE', 'schedule']);
    expect((await rig.record('b')).adopt).toBe(false);
  });

  it('stays uncertain after a reset without an answer', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    await rig.end('a', await rig.begin('a'), unknown(false));
    const { uncertain, verificationOwedAt } = await rig.record('a');
    await rig.sync(line('b', 1));
    expect(await rig.record('b')).toMatchObject({ uncertain, verificationOwedAt });
  });

  it('and renamed back publishes the live link under the first id, with a higher revision', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    await rig.sync(line('b', 1));
    await rig.adopt('b', 'ONE');
    await rig.reset('b', 'TWO');
    await rig.sync(line('a', 1));
    expect(await rig.record('a')).toMatchObject({ entry: { group: 'a' }, adopt: true, link: { code: 'TWO' } });
    await rig.adopt('a', 'TWO');
    const events = (await rig.events()).filter(({ group }) => group === 'a');
    expect(events.map(({ inviteCode }) => inviteCode)).toEqual(['ONE', 'TWO']);
    expect(events[1]!.revision).toBeGreaterThan(events[0]!.revision!);
  });

  it('and renamed back before a read continues where it was, and still reads the link', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const { dueAt, revision } = await rig.record('a');
    await rig.sync(line('b', 1));
    await rig.sync(line('a', 1));
    expect(await rig.record('a')).toMatchObject({ dueAt, revision, readDueAt: expect.any(Number) });
  });

  it('is found by its old id, its new one and its JID', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.sync(line('b', 1));
    for (const name of ['a', 'b', jid(1)]) {
      const found = await findGroup(rig.store, name);
      expect(found, name).toMatchObject({ recordId: jid(1), registered: true, entry: { group: 'b' } });
    }
    expect(await findGroup(rig.store, 'c')).toBeNull();
    await rig.sync(line('c', 2));
    expect(await findGroup(rig.store, 'a')).toMatchObject({ registered: false });
  });

  it('may give its id to another WhatsApp group in the same edit', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    expect(await rig.sync(line('b', 1), line('a', 2))).toMatchObject({ duplicates: [] });
    expect(await rig.record('a')).toMatchObject({ jid: jid(2), duplicateOf: null });
    expect(await rig.record('b')).toMatchObject({ jid: jid(1), duplicateOf: null, link: { code: 'ONE' } });
    await rig.adopt('a', 'OTHER');
    await rig.adopt('b', 'ONE');
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'ONE', null, 'schedule'],
      ['a', 'OTHER', 'ONE', 'adopted'],
      ['b', 'ONE', null, 'adopted'],
    ]);
    await expectInOrder(rig, 'a');
  });
});

describe('an identifier that is changed', () => {
  it('starts a new record, whose first link replaces the one published before', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const before = await rig.record('a');
    await rig.sync(line('a', 2));
    expect(await rig.record('a')).toMatchObject({
      jid: jid(2),
      link: null,
      revision: null,
      predecessor: { code: 'ONE', revision: before.revision },
      adopt: true,
      readDueAt: expect.any(Number),
    });
    await rig.adopt('a', 'OTHER');
    await rig.reset('a', 'THIRD');
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'ONE', null, 'schedule'],
      ['a', 'OTHER', 'ONE', 'adopted'],
      ['a', 'THIRD', 'OTHER', 'schedule'],
    ]);
    await expectInOrder(rig, 'a');
  });

  it('gets a higher revision though the clock was set back', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.change('a', { revision: 9e15, adopt: false });
    await rig.sync(line('a', 2));
    expect((await rig.adopt('a', 'OTHER')).record.revision).toBe(9e15 + 1);
  });

  it('still settles the old WhatsApp group, and publishes nothing about it', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const attempt = await rig.begin('a');
    await rig.sync(line('a', 2));
    expect(await rig.recordOf(jid(1))).toMatchObject({ replaced: true, attempt: { id: attempt.id } });
    expect([await rig.unsettledOf(jid(1)), await rig.dueOf(jid(1))]).toEqual([attempt.leaseUntil, null]);
    const before = (await rig.events()).length;
    const ended = { kind: 'ended', attempt, outcome: resetTo('TWO', jid(1)) } as const;
    expect((await rig.apply(jid(1), ended)).fenced).toBe(false);
    expect(await rig.recordOf(jid(1))).toMatchObject({ attempt: null, link: { code: 'TWO' } });
    expect(await rig.events()).toHaveLength(before);
    expect((await rig.record('a')).link).toBeNull();
  });

  it('never gives two failures of one id the same event id, though no link was ever read', async () => {
    const rig = registryRig();
    const failure = { code: 'not_admin', message: 'no', httpStatus: 403 } as const;
    const fail = async (n: number) => {
      await rig.end('a', await rig.begin('a', { call: 'adopt' }), rejected);
      await rig.apply(jid(n), { kind: 'gaveUp', work: { kind: 'verification' }, failure });
    };
    for (const n of [1, 2, 1]) {
      await rig.sync(line('a', n));
      await fail(n);
    }
    const ids = (await rig.events()).map(({ id }) => id);
    expect([ids.length, new Set(ids).size]).toEqual([3, 3]);
  });

  it('and changed back gets its attempt, history and times again', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    const attempt = await rig.begin('a');
    const { dueAt } = await rig.record('a');
    await rig.sync(line('a', 2));
    await rig.adopt('a', 'OTHER');
    await rig.sync(line('a', 1));
    expect(await rig.record('a')).toMatchObject({
      jid: jid(1),
      replaced: false,
      removedAt: null,
      dueAt,
      attempt: { id: attempt.id },
      link: { code: 'ONE' },
      adopt: true,
      predecessor: { code: 'OTHER' },
    });
    expect((await rig.recordOf(jid(2))).replaced).toBe(true);
    await rig.end('a', attempt, rejected);
    await rig.adopt('a', 'ONE');
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'ONE', null, 'schedule'],
      ['a', 'OTHER', 'ONE', 'adopted'],
      ['a', 'ONE', 'OTHER', 'adopted'],
    ]);
    await expectInOrder(rig, 'a');
  });

  it('and changed back before a read still owes one', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1));
    await rig.reset('a', 'ONE');
    await rig.sync(line('a', 2));
    await rig.sync(line('a', 1));
    expect(await rig.record('a')).toMatchObject({ link: { code: 'ONE' }, adopt: true, readDueAt: expect.any(Number) });
    await rig.adopt('a', 'ONE');
    await expectInOrder(rig, 'a');
  });

  it('to another code forgets the JID of the old one', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 'CODE00001'));
    await rig.resolve('a', jid(1), 'CODE00001');
    await rig.sync(line('a', 'CODE00002'));
    expect(await rig.record('a')).toMatchObject({ jid: null, link: null, predecessor: { code: 'CODE00001' } });
    expect((await rig.recordOf(jid(1))).replaced).toBe(true);
    await rig.resolve('a', jid(2), 'CODE00002');
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'CODE00001', null, 'adopted'],
      ['a', 'CODE00002', 'CODE00001', 'adopted'],
    ]);
    await expectInOrder(rig, 'a');
  });

  it('to another code of the same WhatsApp group finds the record again', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 'CODE00001'));
    await rig.resolve('a', jid(1), 'CODE00001');
    await rig.reset('a', 'CODE00002');
    const { dueAt, lastResetAt } = await rig.record('a');
    await rig.sync(line('a', 'CODE00002'));
    await rig.resolve('a', jid(1), 'CODE00002');
    expect(await rig.record('a')).toMatchObject({ jid: jid(1), dueAt, lastResetAt, replaced: false });
    await expectInOrder(rig, 'a');
  });
});

describe('two identifiers in one edit', () => {
  it('are swapped: each id gets the other WhatsApp group, and neither is paused', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1), line('b', 2));
    await rig.reset('a', 'ONE');
    await rig.reset('b', 'TWO');
    expect(await rig.sync(line('a', 2), line('b', 1))).toMatchObject({ duplicates: [], removed: [] });
    expect(await rig.record('a')).toMatchObject({ jid: jid(2), duplicateOf: null, entry: { group: 'a' } });
    expect(await rig.record('b')).toMatchObject({ jid: jid(1), duplicateOf: null, entry: { group: 'b' } });
    await rig.adopt('a', 'TWO');
    await rig.adopt('b', 'ONE');
    expect((await rig.events()).map(summary)).toEqual([
      ['a', 'ONE', null, 'schedule'],
      ['b', 'TWO', null, 'schedule'],
      ['a', 'TWO', 'ONE', 'adopted'],
      ['b', 'ONE', 'TWO', 'adopted'],
    ]);
    for (const id of ['a', 'b']) await expectInOrder(rig, id);
  });

  it('shift: an entry gets the WhatsApp group that another gives up', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1), line('b', 2), line('c', 3));
    expect(await rig.sync(line('a', 2), line('b', 3), line('c', 4))).toMatchObject({ duplicates: [] });
    const jids = await Promise.all(['a', 'b', 'c'].map(async (id) => (await rig.record(id)).jid));
    expect(jids).toEqual([jid(2), jid(3), jid(4)]);
  });

  it('rotate among three entries, and a fourth gets the one that is free', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1), line('b', 2), line('c', 3), line('d', 4));
    for (const id of ['a', 'b', 'c', 'd']) await rig.reset(id, `OF-${id}`);
    const edited = [line('a', 2), line('b', 3), line('c', 1), line('d', 5)];
    expect(await rig.sync(...edited)).toMatchObject({ duplicates: [], changed: ['a', 'b', 'c', 'd'] });
    for (const [i, n] of [2, 3, 1, 5].entries()) {
      const id = 'abcd'[i]!;
      expect(await rig.record(id), id).toMatchObject({
        jid: jid(n),
        duplicateOf: null,
        predecessor: { code: `OF-${id}` },
      });
      await rig.adopt(id, `NOW-${id}`);
      await expectInOrder(rig, id);
    }
    expect(await rig.sync(...edited)).toMatchObject({ changed: [], duplicates: [] });
  });

  it('leave attempts and uncertainty with their WhatsApp groups', async () => {
    const rig = registryRig();
    await rig.sync(line('a', 1), line('b', 2));
    await rig.reset('a', 'ONE');
    await rig.reset('b', 'TWO');
    const attempt = await rig.begin('a');
    await rig.end('b', await rig.begin('b'), unknown(false));
    await rig.sync(line('a', 2), line('b', 1));
    expect(await rig.record('b')).toMatchObject({ jid: jid(1), attempt: { id: attempt.id }, uncertain: null });
    expect(await rig.record('a')).toMatchObject({
      jid: jid(2),
      attempt: null,
      uncertain: { readAt: expect.any(Number) },
    });
    for (const n of [1, 2]) expect(await rig.unsettledOf(jid(n))).not.toBeNull();
  });
});
