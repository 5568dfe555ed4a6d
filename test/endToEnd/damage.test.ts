/** A record that somebody damaged, that another version wrote, or that Redis lost. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { readOneOffs } from '../../src/status/oneOffs.ts';
import { readStatus } from '../../src/status/status.ts';
import { endPostponement } from '../support/postponed.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: damaged, identifier: "${jids[0]}" }
  - { id: sound, identifier: "${jids[1]}" }
verify: off`;

type Rig = Awaited<ReturnType<typeof makeRig>>;

const damagedRecord = jids[0]!;

async function damage({ redis, keys }: Rig): Promise<void> {
  await redis.hset(keys.group(damagedRecord), 'record', '{"jid":7}', 'version', '1');
  await redis.zadd(keys.due('bot'), 1, damagedRecord);
}

async function statesOf(rig: Rig): Promise<Record<string, string>> {
  const parsed = parseConfig(yaml, 'rotation.yaml');
  if (!parsed.ok) throw new Error('the file is broken');
  const { groups } = await readStatus(rig, parsed.config);
  return Object.fromEntries(groups.map(({ group, state }) => [group, state]));
}

it('delays no other group, is reported, and starts over once it is deleted', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  await rig.adopted('damaged', 'sound');
  await damage(rig);
  await rig.lapse('sound', 1);
  expect(await rig.later('sound')).toMatchObject({ reason: 'schedule' });
  const told = await until('it to be reported', () => rig.logged.find(({ event }) => event === 'group.unreadable'));
  expect(told).toMatchObject({ group: 'damaged', msg: expect.stringContaining(rig.keys.group(damagedRecord)) });
  expect(await statesOf(rig)).toEqual({ damaged: 'unreadable_record', sound: 'fresh' });
  await expect(rig.ask('bot', { group: 'damaged' })).rejects.toThrow(/^internal: group \S+: its record in Redis/);
  expect(await rig.later('damaged')).toMatchObject({ type: 'rotation.failed', reason: 'request', inviteLink: null });
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })).toEqual([]);
  // A one-off for it by an old link of its own hides no other one-off.
  await rig.redis.set(rig.keys.link('OLDCODE7890123456789AB'), damagedRecord);
  await rig.queue('bot').add('rotate', { group: 'OLDCODE7890123456789AB' }, { delay: 3_600_000 });
  await rig.queue('bot').add('rotate', { group: 'sound' }, { delay: 3_600_000 });
  expect((await readOneOffs(rig, { group: 'sound', instance: 'bot' })).oneOffs).toMatchObject([{ state: 'delayed' }]);

  await rig.redis.del(rig.keys.group(damagedRecord));
  await endPostponement(rig, damagedRecord);
  await until('it to begin again', () => rig.logged.some(({ event }) => event === 'group.lost'));
  expect(await rig.ask('bot', { group: 'damaged' })).toMatchObject({ status: 'rotated' });
  expect(await statesOf(rig)).toEqual({ damaged: 'fresh', sound: 'fresh' });
});

it('does not keep a worker from starting', async () => {
  const rig = await makeRig({ yaml });
  await damage(rig);
  await rig.start();
  expect(rig.logged.filter(({ event }) => event === 'group.unreadable')).toMatchObject([{ group: 'damaged' }]);
  expect(await rig.ask('bot', { group: 'sound' })).toMatchObject({ status: 'rotated' });
});
