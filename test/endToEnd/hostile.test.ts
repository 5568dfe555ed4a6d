/** What anybody who can push jobs might try: each is refused with a reason, without a call, and nothing else happens. */
import { expect, it } from 'vitest';
import { jids, makeRig } from '../support/rig.ts';

const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 1h, firstSeen: wait }]
verify: off`;

const bad: readonly (readonly [string, unknown])[] = [
  ['a group of a megabyte', { group: 'x'.repeat(1_000_000) }],
  ['a reason that is too long', { group: 'vip', reason: 'x'.repeat(501) }],
  ['a path in place of a group', { group: '../../instance/delete/bot' }],
  ['a header in place of a group', { group: 'vip\r\ntoken: other' }],
  ['a forged line of the log', { group: 'x","event":"rotation.rotated","msg":"all well' }],
  ['the colours of a terminal', { group: '\u001b[2J\u001b[31mvip' }],
  ['a name that every object has', { group: 'constructor' }],
  ['a prototype', JSON.parse('{"__proto__":{"group":"vip"}}')],
  ['a list', [{ group: 'vip' }]],
  ['a number', 7],
];

it('refuses hostile jobs at once, without a call, and tells them apart from its own words', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  for (const [what, data] of bad) {
    const failure = await rig.ask('bot', data).then(
      () => null,
      (error: Error) => error.message,
    );
    expect(failure, what).toMatch(/^(bad request|unknown group)/);
    expect(failure!.length, what).toBeLessThan(500);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
    expect(failure, what).not.toMatch(/[\u0000-\u001f]/);
  }
  expect(rig.standIn.log.all).toEqual([]);
  expect(rig.events).toEqual([]);
  expect(rig.logged.filter(({ event }) => event === 'rotation.rotated')).toEqual([]);
  expect(({} as { group?: unknown }).group).toBeUndefined();
});

it('repeats what was asked in the event and nowhere else', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  const reason = 'a "quoted"\nreason \u001b[31m<b>';
  const data = JSON.parse(`{"group":"vip","reason":${JSON.stringify(reason)},"extra":1,"__proto__":{"polluted":true}}`);
  expect(await rig.ask('bot', data)).toMatchObject({ status: 'rotated' });
  expect(await rig.event('vip')).toMatchObject({ request: { reason, requestId: null, requestedBy: null } });
  expect(JSON.stringify(rig.logged)).not.toContain('quoted');
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
