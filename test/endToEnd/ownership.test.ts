/** A WhatsApp group has one owner among the entries of the file, and keeps its state when that changes. */
import { expect, it } from 'vitest';
import { bot, file, group, inFlight, started } from '../support/edited.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const code = 'CODE23456789012345';
const byCode = { groups: [{ jid: jids[0]!, code }, { jid: jids[1]! }, { jid: jids[2]! }] };

function expectLive(rig: Rig, id: string, n: number) {
  return until(
    `the newest event of ${id} to carry the live link`,
    () => rig.eventsOf(id).at(-1)?.inviteCode === rig.standIn.codeOf(jids[n]!),
  );
}
const resets = (rig: Rig, n: number) => rig.standIn.log.of({ endpoint: 'reset', jid: jids[n]! });

it('publishes a renamed group under its new id without a reset, and again when it is renamed back', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await rig.ask('bot', { group: 'vip' });
  const { dueAt } = await rig.record('vip');
  await reload(file(bot, group('important', 0)));
  const renamed = await rig.event('important');
  const made = await rig.later('vip');
  expect(renamed).toMatchObject({ type: 'link.changed', reason: 'adopted', inviteCode: made.inviteCode });
  expect(renamed).toMatchObject({ previousRevision: made.revision, previousInviteCode: made.previousInviteCode });
  expect(renamed.revision).toBeGreaterThan(made.revision!);
  expect((await rig.record('important')).dueAt).toBe(dueAt);
  expect(await rig.ask('bot', { group: 'important' })).toMatchObject({ status: 'rotated', group: 'important' });

  await reload(file(bot, group('vip', 0)));
  await expectLive(rig, 'vip', 0);
  const last = await rig.later('important');
  expect(rig.eventsOf('vip').at(-1)!.revision).toBeGreaterThan(last.revision!);
  expect(resets(rig, 0)).toHaveLength(2);
});

it('answers a one-off that names the former id of its group', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await rig.adopted('vip');
  await reload(file(bot, group('important', 0)));
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated', group: 'important' });
});

it('makes no second reset of a group that is renamed during one', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await rig.adopted('vip');
  const { asked } = await inFlight(rig, 'vip', 0, 900);
  await reload(file(bot, group('important', 0, ', firstSeen: rotate')));
  const again = rig.ask('bot', { group: 'important' });
  expect(await asked).toMatchObject({ status: 'rotated', group: 'important' });
  expect(await again).toMatchObject({ status: 'rotated' });
  await expectLive(rig, 'important', 0);
  expect(rig.standIn.log.maxResetsInFlight(jids[0]!)).toBe(1);
  const ends = resets(rig, 0);
  expect(ends[1]!.begin).toBeGreaterThanOrEqual(ends[0]!.end!);
});

it('reads an uncertain group back before it resets it under another id', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await rig.adopted('vip');
  rig.standIn.faults.next({ kind: 'lateEffect', effectAfterMs: 5_000 }, { endpoint: 'reset' });
  const first = rig.ask('bot', { group: 'vip' });
  await until('the group to be uncertain', async () => (await rig.record('vip')).uncertain !== null);
  await reload(file(bot, group('important', 0)));
  const second = rig.ask('bot', { group: 'important' });
  // Whichever job reads it back, the link answers the first.
  expect(await first).toMatchObject({ status: expect.stringMatching(/^(recovered|rotated)$/) });
  expect(await second).toMatchObject({ status: 'rotated' });
  await expectLive(rig, 'important', 0);
  expect(resets(rig, 0)).toHaveLength(2);
  const recovered = [...rig.laterOf('vip'), ...rig.laterOf('important')].filter(({ reason }) => reason === 'recovery');
  expect(recovered).toHaveLength(1);
});

it('keeps serving two groups whose identifiers are exchanged in one edit', async () => {
  const { rig, reload } = await started(file(bot, group('a', 0), group('b', 1)));
  await rig.adopted('a', 'b');
  const { asked } = await inFlight(rig, 'a', 0, 900);
  await reload(file(bot, group('a', 1), group('b', 0)));
  await asked.catch(() => {});
  await expectLive(rig, 'a', 1);
  await expectLive(rig, 'b', 0);
  expect(rig.standIn.log.maxResetsInFlight(jids[0]!)).toBe(1);
  for (const id of ['a', 'b']) {
    const revisions = rig.eventsOf(id).map(({ revision }) => revision!);
    expect(revisions).toEqual([...new Set(revisions)].sort((x, y) => x - y));
  }
});

it('keeps a duplicate paused when its entry is edited, until its owner has left the file', async () => {
  const { rig, reload } = await started(file(bot, group('owner', 0), group('again', code)), byCode);
  const failed = await rig.later('again');
  expect(failed).toMatchObject({ type: 'rotation.failed', error: { code: 'invalid_request' } });
  await reload(file(bot, group('owner', 0), group('again', code, ', firstSeen: rotate, every: 2h')));
  await expect(rig.ask('bot', { group: 'again' })).rejects.toThrow('the same WhatsApp group as "owner"');
  expect(await rig.ask('bot', { group: 'owner' })).toMatchObject({ status: 'rotated' });
  expect(resets(rig, 0)).toHaveLength(1);
  await reload(file(bot, group('again', code, ', every: 2h')));
  expect(await rig.ask('bot', { group: 'again' })).toMatchObject({ status: 'rotated', jid: jids[0] });
  await expectLive(rig, 'again', 0);
});

it('remembers the WhatsApp group of a revoked code when its entry returns', async () => {
  const { rig, reload } = await started(file(bot, group('vip', code), group('other', 1)), byCode);
  await rig.ask('bot', { group: 'vip' });
  await reload(file(bot, group('other', 1)));
  await reload(file(bot, group('vip', code), group('other', 1)));
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated', jid: jids[0] });
  await reload(file(bot, group('vip', code), group('again', 0), group('other', 1)));
  await expect(rig.ask('bot', { group: 'again' })).rejects.toThrow('the same WhatsApp group as "vip"');
});

it('gives a WhatsApp group to an entry that was renamed while its code was resolved', async () => {
  const { rig, reload } = await started(file(bot, group('other', 1)), byCode);
  rig.standIn.faults.next({ kind: 'slow', ms: 800 }, { endpoint: 'info', jid: jids[0]! });
  await reload(file(bot, group('vip', code), group('other', 1)));
  await until('the read', () => rig.standIn.log.of({ endpoint: 'info', jid: jids[0]! }).length === 1);
  await reload(file(bot, group('important', code), group('other', 1)));
  expect(await rig.ask('bot', { group: 'important' })).toMatchObject({ status: 'rotated', jid: jids[0] });
  expect(await rig.ask('bot', { group: 'important' })).toMatchObject({ status: 'rotated' });
});

it('publishes the link of the group that a changed identifier names, and serves that group', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await rig.ask('bot', { group: 'vip' });
  const before = await rig.later('vip');
  await reload(file(bot, group('vip', 1)));
  const adopted = await until('the other link', () => rig.eventsOf('vip').find(({ jid }) => jid === jids[1]));
  expect(adopted).toMatchObject({
    ...{ type: 'link.changed', reason: 'adopted', inviteCode: rig.standIn.codeOf(jids[1]!) },
    ...{ previousRevision: before.revision, previousInviteCode: before.inviteCode },
  });
  // Pushed before the edit: the reset of the other group does not answer it.
  const requestedAt = before.revision! - 1;
  const result = await rig.ask('bot', { group: 'vip', requestedAt });
  expect(result).toMatchObject({ status: 'rotated', jid: jids[1], inviteCode: rig.standIn.codeOf(jids[1]!) });
  await reload(file(bot, group('vip', 0)));
  await expectLive(rig, 'vip', 0);
  expect(resets(rig, 0)).toHaveLength(1);
});
