import { expect, it } from 'vitest';
import { bot, bot2, file, group, started } from '../support/edited.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

it('serves an instance that was added, and no longer serves one that was removed', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0)));
  await reload(file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('new', 1, ', instance: bot2')));
  expect(await rig.ask('bot2', { group: 'new' })).toMatchObject({ status: 'rotated' });
  await reload(file(bot, group('vip', 0)));
  const left = await rig.queue('bot2').add('rotate', { group: 'new' });
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  await until('it to be refused', async () => (await left.getState()) === 'failed');
  expect(await rig.later('new', 1)).toMatchObject({ type: 'rotation.failed' });
});

it('finishes the calls in flight of a group and an instance that are removed', async () => {
  const { rig, reload } = await started(
    file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('gone', 1, ', instance: bot2')),
  );
  await rig.adopted('gone');
  rig.standIn.faults.next({ kind: 'slow', ms: 500 });
  const asked = rig.ask('bot2', { group: 'gone' });
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[1]! }).length === 1);
  await reload(file(bot, group('vip', 0)));
  expect(await asked).toMatchObject({ status: 'rotated' });
  expect(await rig.later('gone')).toMatchObject({ inviteCode: rig.standIn.codeOf(jids[1]!) });
});

it('counts a shortened period from the last rotation, and does not schedule a disabled group', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0), group('calm', 1)));
  await rig.ask('bot', { group: 'vip' });
  await rig.ask('bot', { group: 'calm' });
  await reload(file(bot, group('vip', 0, ', every: 1s'), group('calm', 1, ', every: 1s, enabled: false')));
  expect(await rig.later('vip', 1)).toMatchObject({ reason: 'schedule' });
  await rig.later('vip', 2);
  expect(rig.laterOf('calm')).toHaveLength(1);
});

it('keeps the history of a group that was removed and returns', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0), group('other', 1)));
  await rig.ask('bot', { group: 'vip' });
  const first = await rig.later('vip');
  await reload(file(bot, group('other', 1)));
  await expect(rig.ask('bot', { group: 'vip' })).rejects.toThrow('not in the configuration file');
  await reload(file(bot, group('vip', 0), group('other', 1)));
  await rig.ask('bot', { group: 'vip' });
  expect(
    await until('the next link', () => rig.laterOf('vip').find(({ revision }) => revision! > first.revision!)),
  ).toMatchObject({
    previousRevision: first.revision,
    previousInviteCode: first.inviteCode,
  });
});

it('rotates each overdue group once after an outage, most overdue first, within the limit', async () => {
  const limited = '{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 4, per: 1s, reserve: 0 }, concurrency: 1 }';
  const groups = Array.from({ length: 10 }, (_, n) => group(`g${n}`, n));
  const yaml = file(limited, ...groups);
  const rig = await makeRig({ yaml, standIn: { limit: { limit: 4, perMs: 1_000 } } });
  const service = await rig.start();
  for (let n = 0; n < 10; n++) await rig.ask('bot', { group: `g${n}` });
  await service.close();
  // As after an outage of hours; g7 is the most overdue.
  const order = [7, 2, 9, 0, 4, 1, 8, 3, 6, 5].map((n) => `g${n}`);
  const now = Date.now();
  for (const [i, id] of order.entries()) await rig.lapse(id, now - (20 - i) * 600_000);
  const before = rig.standIn.log.all.length;
  await rig.start();
  await until('all to be rotated', () => order.every((id) => rig.laterOf(id).length === 2));
  const resets = rig.standIn.log.all.slice(before).filter(({ endpoint }) => endpoint === 'reset');
  expect(resets.map(({ jid }) => `g${jids.indexOf(jid!)}`)).toEqual(order);
  expect(rig.standIn.log.all.filter(({ status }) => status === 429)).toEqual([]);
});
