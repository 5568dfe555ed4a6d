/** `groups`, the built program against the stand-in. */
import { appendFileSync } from 'node:fs';
import { expect, inject, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { testRedis } from '../support/redis.ts';
import { jid, makeOnlineRig, tokens } from './onlineRig.ts';

const groups = [
  { jid: jid(1), name: 'Curso de Verão', admins: ['bot', 'bot2'] },
  { jid: jid(2), name: 'VIP', code: 'VIPcode123', admins: ['bot'] },
  { jid: jid(3), name: 'Água', admins: ['bot'] },
  { jid: jid(4), name: 'Only of the other', admins: ['bot2'] },
];

it('lists the groups of every instance, with the ids of the file', async () => {
  const { standIn, write, ends } = await makeOnlineRig({ groups });
  write(`groups:
  - { id: summer, identifier: "${jid(1)}", instance: bot2, every: 1d }
  - { id: vip, identifier: https://chat.whatsapp.com/VIPcode123, instance: bot, every: 1d }
`);
  const { code, stdout, stderr } = await ends(['groups']);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout.split('\n').map((line) => line.trimEnd())).toEqual([
    'bot is a member of 3 groups; the file lacks 1.',
    '',
    'NAME            JID                      MEMBERS  IN THE FILE',
    `Água            ${jid(3)}  1        no`,
    `Curso de Verão  ${jid(1)}  2        summer (bot2)`,
    `VIP             ${jid(2)}  1        vip`,
    '',
    'bot2 is a member of 2 groups; the file lacks 1.',
    '',
    'NAME               JID                      MEMBERS  IN THE FILE',
    `Curso de Verão     ${jid(1)}  2        summer`,
    `Only of the other  ${jid(4)}  1        no`,
    '',
  ]);
  // One list for each instance, and one read for the link.
  expect(standIn.log.all.map(({ endpoint }) => endpoint).sort()).toEqual(['groups', 'groups', 'info']);

  const json = JSON.parse((await ends(['groups', '--instance', 'bot', '--json'])).stdout);
  expect(json).toEqual({
    instances: [{ instance: 'bot', groups: 3, problem: null }],
    groups: [
      { instance: 'bot', jid: jid(3), name: 'Água', members: 1, id: null, inFile: false },
      { instance: 'bot', jid: jid(1), name: 'Curso de Verão', members: 2, id: 'summer', inFile: true },
      { instance: 'bot', jid: jid(2), name: 'VIP', members: 1, id: 'vip', inFile: true },
    ],
    unresolved: [],
  });
});

it('says unknown, not no, where the file names a group by a dead link', async () => {
  const { standIn, write, ends } = await makeOnlineRig({ groups: groups.slice(0, 2) });
  const { redis, prefix, keys } = testRedis();
  write(`groups: [{ id: vip, identifier: VIPcode123, instance: bot, every: 1d }]\nredis: { prefix: "${prefix}" }`);
  standIn.resetByHand(jid(2));
  const { code, stdout } = await ends(['groups', '--instance', 'bot']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/VIP .* unknown: vip is named by a link\n/);

  // A worker knew the link when it was alive.
  await redis.hset(keys.resolved, { VIPcode123: jid(2) });
  const known = await ends(['groups', '--instance', 'bot'], { REDIS_URL: inject('redisUrl') });
  expect(known.stdout).toMatch(/Curso de Verão .* no *\n/);
  expect(known.stdout).toMatch(/VIP .* vip *\n/);
  expect(standIn.log.of({ endpoint: 'info' })).toHaveLength(1);
});

it('prints entries that can be appended, for each group once', async () => {
  const { file, write, read, ends } = await makeOnlineRig({ groups, listForm: 'whatsapp' });
  write('defaults: { every: 7d }\ngroups:\n  - { id: vip, identifier: VIPcode123, instance: bot }\n');
  const { code, stdout, stderr } = await ends(['groups', '--yaml']);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toBe(`  - id: agua
    title: Água
    identifier: ${jid(3)}
    instance: bot
  - id: curso-de-verao
    title: Curso de Verão
    identifier: ${jid(1)}
    instance: bot
  - id: only-of-the-other
    title: Only of the other
    identifier: ${jid(4)}
    instance: bot2
`);
  appendFileSync(file, stdout);
  expect((await loadConfig(file)).ok).toBe(true);
  const again = await ends(['groups', '--yaml']);
  expect(again).toEqual({ code: 0, stdout: '', stderr: `${file} has all groups.\n` });
  expect(read()).toContain('VIPcode123');
});

it('works with a file that has no groups yet, whatever their names are', async () => {
  const names = ['\u001b[2J\u0007', 'a\r\n- id: x', '\u202etxt.exe', '"\': #{}[]', '', '007'];
  const { file, write, ends } = await makeOnlineRig({
    groups: names.map((name, i) => ({ jid: jid(i), name, admins: ['bot'] })),
  });
  write('', '[{ name: bot, tokenEnv: RYZE_TOKEN }]');
  const table = await ends(['groups']);
  expect(table.code).toBe(0);
  expect(table.stdout).not.toMatch(/[^\P{Cc}\n]|\u202e/u);
  const { stdout } = await ends(['groups', '--yaml']);
  expect(stdout).toMatch(/^groups:\n {2}- id: /);
  appendFileSync(file, stdout);
  const loaded = await loadConfig(file);
  expect(loaded.ok && loaded.config.groups.map(({ id, title }) => ({ id, title })).sort()).toEqual(
    expect.arrayContaining([
      { id: 'a-id-x', title: 'a - id: x' },
      { id: 'txt-exe', title: 'txt.exe' },
      { id: '007', title: '007' },
      { id: 'group-005004', title: null },
    ]),
  );
});

it('says in one line what is wrong with an instance, and lists the others', async () => {
  const { standIn, write, ends } = await makeOnlineRig({ groups });
  write('groups: []');
  const failing = async (env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await ends(['groups'], env);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^bot2 is a member of 2 groups/);
    expect(`${stdout}${stderr}`).not.toContain(tokens.bot);
    return stderr;
  };
  expect(await failing({ RYZE_TOKEN: 'wrong' })).toBe(
    'bot: Invalid token (unauthorized): give it a token that RyzeAPI accepts\n',
  );
  expect(await failing({ RYZE_TOKEN: tokens.bot2 })).toMatch(/^bot: .* \(wrong_instance\): use its own token/);
  expect(await failing({ RYZE_TOKEN: '' })).toBe('bot: the environment variable RYZE_TOKEN (tokenEnv) is empty\n');
  standIn.setConnection('bot', 'disconnected', 400);
  expect(await failing()).toMatch(/^bot: Instance is not connected to WhatsApp \(instance_disconnected\): .*\n$/);
});

it('refuses an instance that the file lacks', async () => {
  const { file, write, ends } = await makeOnlineRig();
  write('');
  expect(await ends(['groups', '--instance', 'bots2'])).toMatchObject({
    code: 2,
    stderr: `--instance: ${file} has no instance "bots2"; did you mean "bot2"?\n`,
  });
});
