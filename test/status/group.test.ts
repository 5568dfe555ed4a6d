/** Everything about one group, without its links. */
import { expect, it } from 'vitest';
import { readGroup } from '../../src/status/group.ts';
import { configOf, hourMs, jid, line, registryRig } from '../groups/registryRig.ts';
import { info } from '../rotation/samples.ts';

const codes = ['FirstCODE1', 'SecondCODE2', 'ThirdCODE3'] as const;
/** Of another group. */
const other = 'AbCdEfGhIjKlMnOpQrSt12';

async function rotated() {
  const rig = registryRig();
  const config = configOf([line('vip', 1, ', title: "Members\' club"'), line('new', 2)]);
  await rig.applyConfig(config);
  await rig.adopt('vip', codes[0]);
  await rig.reset('vip', codes[1]);
  const request = {
    ...info,
    identity: 'job-1',
    requestedBy: `ana https://chat.whatsapp.com/${codes[1]}`,
    reason: `${codes[1]} and ${other} are on chat.whatsapp.com/${codes[0]}?x`,
  };
  await rig.end('vip', await rig.begin('vip', { request }), { kind: 'reset', jid: jid(1), inviteCode: codes[2] });
  return { rig, config };
}

it('tells when each link was live, how it was made, who asked and why, and no link or code', async () => {
  const { rig, config } = await rotated();
  const shown = await readGroup(rig, config, 'vip');
  expect(shown).toMatchObject({
    ...{ group: 'vip', title: "Members' club", instance: 'bot', jid: jid(1), state: 'fresh', enabled: true },
    ...{ schedule: 'every 1h', verifyEveryMs: hourMs, queues: ['invite-links'], nextAttemptAt: null },
  });
  const history = shown!.history;
  expect(history.map(({ reason, requestedBy, requestReason }) => [reason, requestedBy, requestReason])).toEqual([
    ['request', 'ana https://chat.whatsapp.com/[redacted]', expect.any(String)],
    ['schedule', null, null],
    ['adopted', null, null],
  ]);
  expect(history[0]?.requestReason).toBe('[redacted] and [redacted] are on chat.whatsapp.com/[redacted]');
  expect(history.map(({ until }) => until)).toEqual([null, history[0]!.from, history[1]!.from]);
  expect(shown!.lastResetAt).toBe(history[0]!.from);
  for (const code of [...codes, other]) expect(JSON.stringify(shown)).not.toContain(code);
});

it('tells what is known of a group without a link or with a damaged record, and of no other', async () => {
  const { rig, config } = await rotated();
  expect(await readGroup(rig, config, 'new')).toMatchObject({ state: 'new', jid: jid(2), history: [] });
  expect(await readGroup(rig, config, 'nobody')).toBeNull();
  expect(await readGroup(rig, config, 'constructor')).toBeNull();
  await rig.redis.hset(rig.keys.group(jid(1)), 'record', '{');
  expect(await readGroup(rig, config, 'vip')).toMatchObject({ state: 'unreadable_record', history: [] });
});
