/** Two entries that name one WhatsApp group, and codes that were resolved. */

import { describe, expect, it } from 'vitest';
import { rejected } from '../support/outcomes.ts';
import { jid, line, registryRig } from './registryRig.ts';

type Rig = ReturnType<typeof registryRig>;

const code = 'CODE00001';
const owner = line('owner', 1);
const byCode = (more = '') => line('copy', code, more);

async function expectPaused(rig: Rig, id = 'copy'): Promise<void> {
  const record = await rig.recordOf(id);
  expect(record).toMatchObject({ duplicateOf: 'owner', entry: { group: id } });
  expect([await rig.dueOf(id), await rig.verificationOf(id), await rig.unsettledOf(id)]).toEqual([null, null, null]);
  expect(await rig.registration(id)).toMatchObject({ duplicateOf: 'owner', recordId: id });
}

/** `copy` resolves to the WhatsApp group of `owner`. Then the link is replaced, so the code is dead. */
async function duplicateByCode(): Promise<Rig> {
  const rig = registryRig();
  await rig.sync(owner, byCode());
  await rig.adopt('owner', code);
  expect(await rig.resolve('copy', jid(1), code)).toMatchObject({ owner: 'owner', events: [] });
  await rig.reset('owner', 'NEXT');
  return rig;
}

describe('a group that is named by its code', () => {
  it('gets the record of its JID once a read has shown the JID, with everything stored under its id', async () => {
    const rig = registryRig();
    await rig.sync(byCode());
    const before = await rig.record('copy');
    expect(before).toMatchObject({ jid: null, adopt: true });
    const { recordId } = await rig.resolve('copy', jid(1), code);
    expect(recordId).toBe(jid(1));
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), dueAt: before.dueAt, link: { code }, adopt: false });
    expect(await rig.redis.exists(rig.keys.group('copy'))).toBe(0);
    expect([await rig.dueOf('copy'), await rig.dueOf(jid(1))]).toEqual([null, before.dueAt]);
    expect(await rig.events()).toMatchObject([{ group: 'copy', jid: jid(1), reason: 'adopted', inviteCode: code }]);
  });

  it('never gives two failures of one id the same event id', async () => {
    const rig = registryRig();
    await rig.sync(byCode());
    const fail = async () => {
      const { recordId } = (await rig.registration('copy'))!;
      await rig.end('copy', await rig.begin('copy', { call: 'adopt' }), rejected);
      const failure = { code: 'not_admin', message: 'no', httpStatus: 403 } as const;
      await rig.apply(recordId, { kind: 'gaveUp', work: { kind: 'verification' }, failure });
    };
    await fail();
    await fail();
    // The read that resolves it shows no link.
    const attempt = await rig.begin('copy', { call: 'adopt' });
    await rig.resolveAs('copy', attempt, { jid: jid(1), inviteCode: null });
    await fail();
    const ids = (await rig.events()).map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
  });

  it('remembers the JID of its code, although the code is dead when the group returns', async () => {
    const rig = registryRig();
    await rig.sync(byCode(), line('b', 2));
    await rig.resolve('copy', jid(1), code);
    await rig.reset('copy', 'NEXT');
    const { revision } = await rig.record('copy');
    await rig.sync(line('b', 2));
    await rig.sync(byCode(), line('b', 2));
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), revision, link: { code: 'NEXT' } });
    await rig.sync(line('renamed', code), line('b', 2));
    expect(await rig.record('renamed')).toMatchObject({ jid: jid(1), revision });
    expect(await rig.redis.hget(rig.keys.resolved, code)).toBe(jid(1));
  });

  it('has the same record, whether the file names its code or its JID', async () => {
    const rig = registryRig();
    await rig.sync(byCode());
    await rig.resolve('copy', jid(1), code);
    const { dueAt, revision } = await rig.record('copy');
    await rig.sync(line('copy', 1));
    await rig.sync(byCode());
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), dueAt, revision, adopt: false });
  });

  it('ignores a read that began before its entry was edited', async () => {
    const rig = registryRig();
    await rig.sync(byCode());
    const attempt = await rig.begin('copy', { call: 'adopt' });
    await rig.sync(line('copy', 'CODE00002'));
    const shown = { jid: jid(1), inviteCode: code };
    expect(await rig.resolveAs('copy', attempt, shown)).toMatchObject({ fenced: true, events: [] });
    expect(await rig.record('copy')).toMatchObject({ jid: null, adopt: true, link: null });
    expect(await rig.events()).toEqual([]);
  });

  it('claims nothing if it left the file during its read, so that another group may', async () => {
    const rig = registryRig();
    await rig.sync(byCode(), line('b', 2));
    const attempt = await rig.begin('copy', { call: 'adopt' });
    await rig.sync(line('renamed', code), line('b', 2));
    const shown = { jid: jid(1), inviteCode: code };
    expect(await rig.resolveAs('copy', attempt, shown)).toMatchObject({ fenced: true });
    expect(await rig.resolve('renamed', jid(1), code)).toMatchObject({ owner: null, recordId: jid(1) });
    expect(await rig.record('renamed')).toMatchObject({ duplicateOf: null, entry: { group: 'renamed' } });
  });

  it('keeps an attempt that is in flight for its WhatsApp group', async () => {
    const rig = registryRig();
    await rig.sync(line('old', 1));
    await rig.reset('old', code);
    const inFlight = await rig.begin('old');
    await rig.sync(byCode());
    await rig.resolve('copy', jid(1), code);
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), attempt: { id: inFlight.id }, adopt: true });
    expect(await rig.unsettledOf(jid(1))).toBe(inFlight.leaseUntil);
  });
});

describe('a duplicate', () => {
  it('is paused, and its owner continues', async () => {
    const rig = await duplicateByCode();
    await expectPaused(rig);
    expect(await rig.record('owner')).toMatchObject({ duplicateOf: null, dueAt: expect.any(Number) });
  });

  it('by JID is paused from the start, and reported once', async () => {
    const rig = registryRig();
    await rig.sync(line('owner', code));
    await rig.resolve('owner', jid(1), code);
    const both = [line('owner', code), line('copy', 1)];
    expect(await rig.sync(...both)).toMatchObject({ duplicates: [{ group: 'copy', owner: 'owner' }] });
    await expectPaused(rig);
    expect(await rig.worker().sync(...both)).toMatchObject({ duplicates: [], added: [], changed: [] });
    await expectPaused(rig);
  });

  it('stays paused through a restart and every edit of it', async () => {
    const rig = await duplicateByCode();
    const edits = ['', ', every: 2h', ', instance: bot2', ', enabled: false', ''];
    for (const more of edits) {
      await rig.worker().sync(owner, byCode(more));
      await expectPaused(rig);
    }
  });

  it('takes over the WhatsApp group when its owner leaves the file, though the code is dead by then', async () => {
    const rig = await duplicateByCode();
    const { revision, dueAt } = await rig.record('owner');
    await rig.sync(byCode());
    expect(await rig.record('copy')).toMatchObject({
      jid: jid(1),
      duplicateOf: null,
      adopt: true,
      link: { code: 'NEXT' },
      revision,
      dueAt,
    });
    await rig.adopt('copy', 'NEXT');
    expect((await rig.events()).at(-1)).toMatchObject({ group: 'copy', inviteCode: 'NEXT', reason: 'adopted' });
  });

  it('by JID takes over the WhatsApp group when its owner leaves the file', async () => {
    const rig = registryRig();
    await rig.sync(line('owner', code));
    await rig.resolve('owner', jid(1), code);
    await rig.sync(line('owner', code), line('copy', 1));
    expect(await rig.sync(line('copy', 1))).toMatchObject({ removed: ['owner'], duplicates: [] });
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), duplicateOf: null, adopt: true });
    expect(await rig.redis.exists(rig.keys.group('copy'))).toBe(0);
    // An owner that returns finds its WhatsApp group taken.
    expect(await rig.sync(line('owner', code), line('copy', 1))).toMatchObject({
      duplicates: [{ group: 'owner', owner: 'copy' }],
    });
  });

  it('takes it over when its owner gets another WhatsApp group', async () => {
    const rig = registryRig();
    await rig.sync(line('owner', code));
    await rig.resolve('owner', jid(1), code);
    await rig.sync(line('owner', code), line('copy', 1));
    expect(await rig.sync(line('copy', 1), line('owner', 2))).toMatchObject({ duplicates: [] });
    expect(await rig.record('copy')).toMatchObject({ jid: jid(1), duplicateOf: null });
    expect(await rig.record('owner')).toMatchObject({ jid: jid(2), duplicateOf: null });
  });

  it('names the link that it published before it was a duplicate', async () => {
    const rig = registryRig();
    const byOtherCode = line('owner', code);
    await rig.sync(byOtherCode, line('copy', 2));
    await rig.resolve('owner', jid(1), 'ONE');
    await rig.reset('copy', 'TWO');
    const { revision } = await rig.record('copy');
    await rig.sync(byOtherCode, line('copy', 1));
    await rig.sync(line('copy', 1));
    await rig.adopt('copy', 'ONE');
    expect((await rig.events()).at(-1)).toMatchObject({
      group: 'copy',
      inviteCode: 'ONE',
      previousInviteCode: 'TWO',
      previousRevision: revision,
    });
  });
});
