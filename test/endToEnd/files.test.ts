/** The file as people and programs write it: caught half-written, shrunk, and not the same on every worker. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { bot, file, group, started } from '../support/edited.ts';
import { jids } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** One group a line, so that it can be cut at one. */
const code = 'CODE23456789012345';
const lines = (link: string, archived = ', enabled: false') => `
instances: [${bot}]
defaults: { every: 1h, firstSeen: wait }
verify: off
groups:
  - ${group('a', link)}
  - ${group('b', 1)}
  - ${group('c', 2)}
  - { id: archived, identifier: "${jids[3]}", every: 1s, firstSeen: rotate
      ${archived} }`;
const world = { groups: [{ jid: jids[0]!, code }, ...[1, 2, 3].map((n) => ({ jid: jids[n]! }))] };

it('ignores a file that is half-written for some seconds', async () => {
  const { rig, count } = await started(lines(code), world);
  await rig.adopted('a', 'b', 'c');
  const before = { calls: rig.standIn.log.all.length, events: rig.events.length };
  const whole = lines(code);
  for (const text of [
    // Cut at a line's end, then without what archives a group, then with a character missing from a link.
    whole.slice(0, whole.indexOf('  - { id: b')),
    whole.replace(', enabled: false', ''),
    whole.replace(code, code.slice(0, -1)),
  ]) {
    // The worker looks every two seconds, and waits for ten.
    rig.edit(text);
    await sleep(4_500);
    rig.edit(whole);
    await sleep(2_500);
  }
  expect(count('config.reloaded')).toBe(0);
  expect(rig.standIn.log.all).toHaveLength(before.calls);
  expect(rig.events).toHaveLength(before.events);
  expect(await rig.ask('bot', { group: 'a' })).toMatchObject({ status: 'rotated', jid: jids[0] });
});

it('loses no history when a file that was half-written for longer is complete again', async () => {
  const { rig, reload } = await started(lines(code), world);
  await rig.ask('bot', { group: 'a' });
  await rig.adopted('a', 'b', 'c');
  const { dueAt } = await rig.record('a');
  await reload(lines(code.slice(0, -1)));
  await reload(lines(code));
  expect((await rig.record('a')).dueAt).toBe(dueAt);
  expect(await rig.ask('bot', { group: 'a' })).toMatchObject({ status: 'rotated', jid: jids[0] });
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })).toHaveLength(2);
});

it('logs an error when many groups have left the file', async () => {
  const groups = [0, 1, 2, 3, 4].map((n) => group(`g${n}`, n));
  const { rig, reload } = await started(file(bot, ...groups));
  await reload(file(bot, ...groups.slice(0, 2)));
  expect(rig.logged.find(({ event }) => event === 'groups.vanished')).toMatchObject({
    ...{ level: 50, removed: 3, groups: ['g2', 'g3', 'g4'] },
  });
});

it('reads a group that returns, and publishes the link that a person has made in the meantime', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0), group('other', 1)));
  await rig.adopted('vip', 'other');
  await reload(file(bot, group('other', 1)));
  const changed = rig.standIn.resetByHand(jids[0]!);
  await reload(file(bot, group('vip', 0), group('other', 1)));
  expect(await rig.later('vip')).toMatchObject({ type: 'link.changed', reason: 'drift', inviteCode: changed });
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
});

it('answers one-offs for every group of two workers whose files differ, and warns', async () => {
  const { rig } = await started(file(bot, group('a', 0), group('b', 1), group('only', 2)));
  await rig.startOther(file(bot, group('a', 0), group('b', 1)));
  await rig.adopted('a', 'b', 'only');
  for (let i = 0; i < 6; i++) expect(await rig.ask('bot', { group: 'only' })).toMatchObject({ status: 'rotated' });
  await rig.lapse('only', 1);
  await until('the schedule to continue', () => rig.laterOf('only').some(({ reason }) => reason === 'schedule'));
  const warnings = rig.logged.filter(({ event }) => event === 'config.differs');
  expect(warnings.length).toBeGreaterThan(0);
  expect(warnings[0]).toMatchObject({ level: 40 });
  expect(rig.logged.find(({ event }) => event === 'groups.kept')).toMatchObject({ groups: ['only'] });
});

it('follows the newer of two files, whichever worker commits, and however often the older one starts', async () => {
  const old = file(bot, group('vip', 0, ', every: 7d'));
  const { rig, reload, service } = await started(old);
  await rig.adopted('vip');
  const other = await rig.startOther(old);
  await reload(file(bot, group('vip', 0, ', every: 2h')));
  await other.service.close();
  await rig.startOther(old);
  for (let i = 0; i < 4; i++) {
    await rig.ask('bot', { group: 'vip' });
    const { rotatedAt, nextRotationAt } = await rig.later('vip', i);
    expect(Date.parse(nextRotationAt!) - Date.parse(rotatedAt!)).toBe(2 * 3_600_000);
  }
  expect(service.config.groups[0]?.schedule).toMatchObject({ everyMs: 2 * 3_600_000 });
});

it('removes a group once the last worker whose file had it has seen the edit', async () => {
  const both = file(bot, group('vip', 0), group('gone', 1));
  const { rig, reload } = await started(both);
  const other = await rig.startOther(both);
  await reload(file(bot, group('vip', 0)));
  expect(await rig.ask('bot', { group: 'gone' })).toMatchObject({ status: 'rotated' });
  other.edit(file(bot, group('vip', 0)));
  other.service.reload();
  await until('the group to be gone', async () => {
    const refused = await rig.ask('bot', { group: 'gone' }).then(
      () => '',
      (error: Error) => error.message,
    );
    return refused.includes('not in the configuration file');
  });
});
