/** `check --online`, the built program against the stand-in. */
import { expect, it } from 'vitest';
import { ctrlC, onTerminal } from '../support/terminal.ts';
import { until } from '../support/until.ts';
import { jid, makeOnlineRig, tokens } from './onlineRig.ts';

const groups = [
  { jid: jid(1), admins: ['bot'] },
  { jid: jid(2), admins: ['bot2'] },
];
const yaml = (...jids: string[]) =>
  `groups: [${jids.map((one, i) => `{ id: g${i + 1}, identifier: "${one}", instance: bot, every: 7d }`).join(', ')}]`;

it('prints the plan, then what RyzeAPI says, and exits with 0', async () => {
  const { standIn, write, ends } = await makeOnlineRig({ groups });
  standIn.setLimit(tokens.bot, 60);
  standIn.group(jid(1)).link = 'missing';
  write(yaml(jid(1)));
  const { code, stdout, stderr } = await ends(['check', '--online']);
  expect([code, stderr]).toEqual([0, '']);
  const [plan = '', online = ''] = stdout.split('RyzeAPI says:\n');
  expect(plan).toMatch(/is valid\.\n/);
  expect(online.split('\n').map((line) => line.trimEnd())).toEqual([
    '',
    'INSTANCE  TOKEN     CONNECTED  LIMIT                   GROUPS  MEMBER  LINK VISIBLE',
    'bot       accepted  yes        60 (the file says 100)  1       1       0',
    'bot2      accepted  yes        100                     0       0       0',
    '',
    'No link is shown for g1: whether the phone is an admin there is unknown.',
    '',
    'No group would fail, as far as RyzeAPI shows.',
    '',
  ]);
  expect(standIn.log.of({ endpoint: 'reset' })).toEqual([]);
});

it('exits with 1 and one line for each group and instance that would fail', async () => {
  const { standIn, write, ends } = await makeOnlineRig({ groups });
  standIn.setConnection('bot2', 'loggedout');
  write(yaml(jid(1), jid(2), 'AAbbCCdd11'));
  const [text, json] = await Promise.all([ends(['check', '--online']), ends(['check', '--online', '--json'])]);
  const failures = [
    'instance bot2: is not connected to WhatsApp (loggedout): connect its phone to WhatsApp in RyzeAPI',
    "g2: the phone of bot is not a member: add its instance's phone to the group, or correct the group's identifier",
    'g3: its invite link or code leads to no group: name the group by its JID, which `invite-rotator groups` prints',
  ];
  expect([text.code, json.code]).toEqual([1, 1]);
  expect(text.stdout.split('These would fail:\n')[1]).toBe(`${failures.join('\n')}\n`);
  expect(json.stderr).toBe(`${failures.join('\n')}\n`);
  expect(JSON.parse(json.stdout)).toMatchObject({
    online: {
      instances: [
        { instance: 'bot', token: true, connected: true, state: 'connected', limit: 100, problem: null },
        { instance: 'bot2', token: true, connected: false, state: 'loggedout', problem: expect.any(String) },
      ],
      groups: [
        { group: 'g1', instance: 'bot', jid: jid(1), member: true, linkVisible: true, problem: null },
        { group: 'g2', member: false, linkVisible: null, problem: expect.any(String) },
        { group: 'g3', jid: null, member: null, problem: expect.any(String) },
      ],
    },
  });
  for (const { stdout, stderr } of [text, json]) {
    for (const secret of [...Object.values(tokens), standIn.codeOf(jid(1)), 'AAbbCCdd11']) {
      expect(`${stdout}${stderr}`).not.toContain(secret);
    }
  }
});

it('shows its progress on a terminal, stops at half of the limit, and ends at Ctrl-C', async () => {
  const { standIn, write, env } = await makeOnlineRig({
    groups: [1, 2, 3, 4, 5, 6].map((n) => ({ jid: jid(n), admins: ['bot'] })),
    limit: { limit: 10 },
  });
  const instance = '[{ name: bot, tokenEnv: RYZE_TOKEN, rateLimit: { max: 10, reserve: 1 } }]';
  write(yaml(...[1, 2, 3, 4, 5, 6].map(jid)), instance);
  const { shown, type, ended } = onTerminal('check --online', env);
  await until(shown, () => shown().includes(' 3 of 6 done, 0 failed'));
  expect(shown()).toContain('bot: 8 calls, at most 5 in 1m, half of the limit: about 60s');
  // The list of instances, the list of groups and three reads: half of 10.
  expect(standIn.log.all).toHaveLength(5);
  type(ctrlC);
  expect(await ended).toBe(130);
  // The cursor is shown again.
  expect(shown().lastIndexOf('\u001b[?25h')).toBeGreaterThan(shown().lastIndexOf('\u001b[?25l'));
});
