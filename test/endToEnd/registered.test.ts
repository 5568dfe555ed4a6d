/** Every worker acts on the registration at the time of its commit, not on the file that it has read. */
import { expect, it } from 'vitest';
import { bot, bot2, file, group, inFlight, started } from '../support/edited.ts';
import { jids } from '../support/rig.ts';
import { until } from '../support/until.ts';

const hourMs = 3_600_000;

async function inFlightOf(rest = '') {
  const running = await started(file(`${bot}, ${bot2}`, group('vip', 0, `, instance: bot${rest}`)));
  const { rig } = running;
  await rig.adopted('vip');
  return { ...running, ...(await inFlight(rig, 'vip', 0)) };
}

it('counts a period that was shortened during a reset from that reset', async () => {
  const { rig, reload, asked } = await inFlightOf(', every: 7d');
  await reload(file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot, every: 1h')));
  expect(await asked).toMatchObject({ status: 'rotated' });
  const { rotatedAt, nextRotationAt } = await rig.later('vip');
  expect(Date.parse(nextRotationAt!) - Date.parse(rotatedAt!)).toBe(hourMs);
  expect((await rig.record('vip')).dueAt).toBe(Date.parse(nextRotationAt!));
});

it('plans no rotation of a group that was disabled during a reset', async () => {
  const { rig, reload, asked } = await inFlightOf();
  await reload(file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot, enabled: false')));
  expect(await asked).toMatchObject({ status: 'rotated' });
  expect(await rig.later('vip')).toMatchObject({ nextRotationAt: null });
  const members = await rig.redis.zcard(rig.keys.due('bot'));
  expect(members).toBe(0);
});

it('publishes to a results queue that was added during a reset', async () => {
  const { rig, reload, asked } = await inFlightOf();
  const yaml = file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'));
  await reload(`${yaml}\nresults: { queues: [invite-links, mirror] }`);
  await asked;
  const { id } = await rig.later('vip');
  await until('the event on the other queue', () => rig.redis.exists(`${rig.prefix}:mirror:${id}`));
});

it('answers a one-off whose group was moved to another instance during its reset, and continues there', async () => {
  const { rig, reload, asked } = await inFlightOf();
  await reload(file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot2')));
  expect(await asked).toMatchObject({ status: 'rotated' });
  expect(await rig.later('vip')).toMatchObject({ instance: 'bot2', inviteCode: rig.standIn.codeOf(jids[0]!) });
  await rig.lapse('vip', 1);
  expect(await rig.later('vip', 1)).toMatchObject({ reason: 'schedule', instance: 'bot2' });
  expect(rig.standIn.log.of({ endpoint: 'reset' }).map(({ instance }) => instance)).toEqual(['bot', 'bot2']);
});

it('answers for the group that the file names now, after its identifier was changed during a reset', async () => {
  const { rig, reload, asked } = await inFlightOf();
  await reload(file(`${bot}, ${bot2}`, group('vip', 1, ', instance: bot')));
  expect(await asked).toMatchObject({ status: 'rotated', jid: jids[1], inviteCode: rig.standIn.codeOf(jids[1]!) });
  const events = () => rig.eventsOf('vip');
  await until('the link to be published', () => events().at(-1)?.inviteCode === rig.standIn.codeOf(jids[1]!));
  expect(events().map(({ jid, reason }) => [jid, reason])).toEqual([
    [jids[0], 'adopted'],
    [jids[1], 'adopted'],
    [jids[1], 'request'],
  ]);
  await rig.lapse('vip', 1);
  await until('a scheduled rotation', () => events().at(-1)?.reason === 'schedule');
  expect(events().at(-1)).toMatchObject({ jid: jids[1], inviteCode: rig.standIn.codeOf(jids[1]!) });
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })).toHaveLength(1);
  const revisions = events().map(({ revision }) => revision!);
  expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  expect(events().map(({ previousRevision }) => previousRevision)).toEqual([null, ...revisions.slice(0, -1)]);
});

it('respects a window that closed while the job waited', async () => {
  const { rig, reload } = await started(file(bot, group('vip', 0), group('other', 1)));
  await rig.adopted('vip', 'other');
  rig.standIn.setConnection('bot', 'disconnected');
  await rig.lapse('vip', 1);
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  await until('the job to wait', async () => (await rig.queue('bot').getPrioritizedCount()) === 1);
  // A window of ten minutes that is twelve hours away.
  const away = new Date(Date.now() + 12 * hourMs).toISOString().slice(11, 15);
  const window = `, window: { from: "${away}0", to: "${away}9" }`;
  await reload(file(bot, group('vip', 0, window), group('other', 1)));
  const before = rig.standIn.log.all.length;
  rig.standIn.setConnection('bot', 'connected');
  await rig.redis.del(rig.keys.gate('bot'));
  await rig.queue('bot').removeRateLimitKey();
  expect(await rig.ask('bot', { group: 'other' })).toMatchObject({ status: 'rotated' });
  await until('the job to end', async () => (await rig.queue('bot').getPrioritizedCount()) === 0);
  expect(rig.standIn.log.all.slice(before).filter(({ jid }) => jid === jids[0])).toEqual([]);
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
});
