/** Hostile jobs, as anybody who can push jobs might send them. Each is refused with a reason and without a call. */
import { expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { jids, makeRig, token } from '../support/rig.ts';
import { until } from '../support/until.ts';

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
  ['another one', { group: '__proto__' }],
  ['a group that is nested without end', { group: JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`) }],
  ['a prototype', JSON.parse('{"__proto__":{"group":"vip"}}')],
  ['a list', [{ group: 'vip' }]],
  ['a number', 7],
];

it('refuses hostile jobs at once, without a call, and distinguishes them from its own jobs', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  await rig.adopted('vip');
  for (const [what, data] of bad) {
    const failure = await rig.ask('bot', data).then(
      () => null,
      (error: Error) => error.message,
    );
    expect(failure, what).toMatch(/^(bad request|unknown group)/);
    expect(failure!.length, what).toBeLessThan(500);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the test checks that they are absent.
    expect(failure, what).not.toMatch(/[\u0000-\u001f]/);
  }
  expect(rig.standIn.log.all).toHaveLength(1);
  // If a job named a group, an event reports the failure, in the order of `bad`, without the text from the job.
  const unknown = await until('an event for each unknown group', () =>
    rig.events.length > 7 ? rig.events.slice(1) : null,
  );
  for (const event of unknown) {
    expect(event).toMatchObject({ type: 'rotation.failed', error: { code: 'invalid_request' } });
    expect(event.group).toMatch(/^(unknown|constructor|vip)$/);
  }
  expect(rig.laterOf('vip')).toMatchObject([{ id: expect.stringMatching(/^vip\.\d+\.failed\.1$/) }]);
  expect(rig.logged.filter(({ event }) => event === 'rotation.rotated')).toEqual([]);
  expect(({} as { group?: unknown }).group).toBeUndefined();
});

it('repeats the text of a request in its event and in one line of the log, without control characters', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  await rig.adopted('vip');
  const reason = 'a "quoted"\nreason \u001b[31m<b>';
  const extra = `"extra":"${'x'.repeat(1_000_000)}","__proto__":{"polluted":true}`;
  const data = JSON.parse(`{"group":"vip","reason":${JSON.stringify(reason)},${extra}}`);
  expect(await rig.ask('bot', data)).toMatchObject({ status: 'rotated' });
  const sent = rig.standIn.log.of({ endpoint: 'reset' }).map(({ path, token: sentToken }) => [path, sentToken]);
  expect(sent).toEqual([['/api/group/resetLink/bot', token]]);
  expect(await rig.later('vip')).toMatchObject({ request: { reason, requestId: null, requestedBy: null } });
  const lines = rig.logged.filter((line) => JSON.stringify(line).includes('quoted'));
  expect(lines).toMatchObject([{ event: 'rotation.rotated', group: 'vip', reason: 'a "quoted" reason  [31m<b>' }]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

it('accepts names that every JavaScript object has, for a group, an instance and a queue', async () => {
  const names = ['constructor', '__proto__'];
  const rig = await makeRig({
    yaml: `
instances: [${names.map((name) => `{ name: ${name}, tokenEnv: TOKEN }`).join(', ')}]
groups:
  - { id: constructor, identifier: "${jids[0]}", instance: __proto__, every: 1h, firstSeen: wait }
  - { id: valueof, identifier: "${jids[1]}", instance: constructor, every: 1h, firstSeen: wait }
results: { queues: [invite-links, __proto__, constructor] }
verify: off`,
    standIn: { instances: names },
  });
  await rig.start();
  expect(await rig.ask('__proto__', { group: 'constructor' })).toMatchObject({ status: 'rotated' });
  expect(await rig.ask('constructor', { group: 'valueof' })).toMatchObject({ status: 'rotated' });
  for (const [i, group] of ['constructor', 'valueof'].entries()) {
    expect((await rig.later(group)).inviteCode).toBe(rig.standIn.codeOf(jids[i]!));
  }
});

const strange = [
  '../bot',
  'bot/../other',
  'bot?x=1',
  'bot#x',
  'bot%2F..',
  'bot\r\nx: y',
  'bot\u0000',
  'bot bot',
  'böt',
  '',
];
it.each(strange)('rejects names in the file that could break out of a path, a header or a key: %j', (name) => {
  const said = JSON.stringify(name);
  const file = (over: Readonly<Record<string, string>>) => {
    const one = { name: 'bot', tokenEnv: 'TOKEN', id: 'vip', instance: 'bot', queue: 'links', prefix: 'bull', ...over };
    return `
instances: [{ name: ${one.name}, tokenEnv: ${one.tokenEnv} }]
groups: [{ id: ${one.id}, identifier: "${jids[0]}", instance: ${one.instance}, every: 1h }]
results: { queues: [${one.queue}] }
redis: { prefix: ${one.prefix} }`;
  };
  expect(parseConfig(file({}), 'rotation.yaml').ok).toBe(true);
  for (const key of ['name', 'tokenEnv', 'id', 'instance', 'queue', 'prefix']) {
    const parsed = parseConfig(file({ [key]: said }), 'rotation.yaml');
    expect(parsed.ok, key).toBe(false);
  }
  const problems = createTokens({ TOKEN: name === '' ? name : `${name} ` }).load(parsedConfig(file({})));
  expect(problems).toEqual([expect.stringMatching(/^instance bot: the environment variable TOKEN/)]);
});

function parsedConfig(text: string): Config {
  const parsed = parseConfig(text, 'rotation.yaml');
  if (!parsed.ok) throw new Error('the file should be right');
  return parsed.config;
}
