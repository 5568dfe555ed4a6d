/** Links are verified: at the period in force, despite a backlog, and with a report when it fails. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { readStatus } from '../../src/status/status.ts';
import { bot, file, group, inFlight, started } from '../support/edited.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const verified = (text: string, every: string) => text.replace('verify: off', `verify: { every: ${every} }`);

async function stateOf(rig: Rig, yaml: string): Promise<string | undefined> {
  const parsed = parseConfig(yaml, 'rotation.yaml');
  if (!parsed.ok) throw new Error('the file is broken');
  return (await readStatus(rig, parsed.config)).groups[0]?.state;
}

it.each(['off', '{ every: 30d }'])('applies a shorter period at the edit when the old one was %s', async (before) => {
  const yaml = file(bot, group('vip', 0));
  const { rig, reload } = await started(yaml.replace('verify: off', `verify: ${before}`));
  await rig.adopted('vip');
  const code = rig.standIn.resetByHand(jids[0]!);
  await reload(verified(yaml, '1s'));
  expect(await rig.later('vip')).toMatchObject({ reason: 'drift', inviteCode: code });
});

it('verifies with a share of one slot even while more is due than can be served', { timeout: 180_000 }, async () => {
  const slow = '{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 2, per: 2s, reserve: 1 } }';
  const due = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => group(`g${n}`, n, ', every: 17s, firstSeen: rotate'));
  const yaml = verified(file(slow, group('vip', 0), ...due), '5s, share: 50%');
  const { rig } = await started(yaml, { limit: { limit: 2, perMs: 2_000 } });
  await rig.adopted('vip');
  const code = rig.standIn.resetByHand(jids[0]!);
  // Among other work, a read is made in ten times as long as without it.
  const drift = await until('the verification', () => rig.laterOf('vip')[0], { withinMs: 120_000 });
  expect(drift).toMatchObject({ reason: 'drift', inviteCode: code });
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});

it('counts, shows and reports a link that cannot be verified', async () => {
  const yaml = verified(file(bot, group('vip', 0)), '1s');
  const { rig } = await started(yaml);
  await rig.adopted('vip');
  rig.standIn.resetByHand(jids[0]!);
  rig.standIn.faults.random(({ endpoint }) => (endpoint === 'info' ? { kind: 'serverError', effect: false } : null));
  const warned = await until('a warning', () => rig.logged.find(({ event }) => event === 'link.unverified'));
  expect(warned).toMatchObject({ level: 40, group: 'vip', times: 3 });
  expect(await stateOf(rig, yaml)).toBe('unverified');
  expect((await rig.record('vip')).unverified).toBeGreaterThanOrEqual(3);
  rig.standIn.faults.clear();
  expect(await rig.later('vip')).toMatchObject({ reason: 'drift' });
  expect(await stateOf(rig, yaml)).toBe('fresh');
});

it('says at once why the first read of a group fails, and repeats it soon', async () => {
  const rig = await makeRig({ yaml: file(bot, group('vip', 0)) });
  rig.standIn.faults.next({ kind: 'cut', effect: false }, { endpoint: 'info' });
  await rig.start();
  const unread = await until('a warning', () => rig.logged.find(({ event }) => event === 'link.unread'));
  expect(unread).toMatchObject({ level: 40, group: 'vip', instance: 'bot', code: 'network_error' });
  await rig.adopted('vip');
});

it('reports a group whose link cannot be read before its first reset fails', async () => {
  const yaml = file(bot, group('vip', 0));
  const rig = await makeRig({ yaml, standIn: { groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }] } });
  rig.standIn.group(jids[0]!).link = 'empty';
  await rig.start();
  await until('the state', async () => (await stateOf(rig, yaml)) === 'unverified');
  expect(rig.standIn.log.all.map(({ endpoint }) => endpoint)).toEqual(['info']);
  await expect(rig.ask('bot', { group: 'vip' })).rejects.toThrow(/^not_admin: /);
});

it('counts a reset as recovered if Redis had lost its attempt, even if a read was in flight when it was answered', async () => {
  const rig = await makeRig({ yaml: file(bot, group('vip', 0)), api: 'timeout: 12s, settleTime: 15s' });
  await rig.start();
  await rig.adopted('vip');
  const { asked } = await inFlight(rig, 'vip', 0, 6_000);
  rig.standIn.faults.next({ kind: 'slow', ms: 6_000 }, { endpoint: 'info' });
  // As after a failover that loses the newest writes; and a read is owed.
  await rig.change('vip', { attempt: null, verificationOwedAt: 1 });
  await until('the read', () => rig.standIn.log.of({ endpoint: 'info' }).length === 2);
  expect(rig.standIn.log.of({ endpoint: 'reset' })[0]!.end).toBeNull();
  await asked;
  await until('the link to be published', () => rig.laterOf('vip').length > 0);
  expect(rig.laterOf('vip').map(({ reason }) => reason)).not.toContain('drift');
  expect(rig.laterOf('vip')[0]).toMatchObject({ type: 'link.rotated', reason: 'recovery' });
  const told = (event: string) => rig.logged.filter((line) => line.event === event).length;
  expect([told('link.changed'), told('rotation.recovered')]).toEqual([0, 1]);
});
