/** `init`, the built program in an empty folder. */
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { jid, makeOnlineRig, tokens } from './onlineRig.ts';

const groups = [
  { jid: jid(1), name: 'Curso de Verão', admins: ['bot'] },
  { jid: jid(2), name: 'VIP', admins: ['bot'] },
  { jid: jid(3), name: 'Of the other', admins: ['bot2'] },
];

it('writes the default file with the groups of the token, valid at once', async () => {
  const { standIn, folder, ends } = await makeOnlineRig({ groups });
  const written = await ends(['init', '--base-url', standIn.url], { ROTATOR_CONFIG: '' });
  const file = join(folder, 'config/rotation.yaml');
  expect(written).toMatchObject({ code: 0, stderr: '' });
  expect(written.stdout).toMatch(`Wrote ${file} with 2 groups of bot.\nNext:\n1. remove the groups`);
  const text = readFileSync(file, 'utf8');
  expect(text).toMatch(/^# yaml-language-server: \$schema=\S+config\/rotation\.schema\.json\n/);
  expect(text).not.toContain(tokens.bot);
  expect(parse(text)).toEqual({
    api: { baseUrl: standIn.url },
    instances: [{ name: 'bot', tokenEnv: 'RYZE_TOKEN' }],
    defaults: { every: '7d' },
    groups: [
      { id: 'curso-de-verao', title: 'Curso de Verão', identifier: jid(1) },
      { id: 'vip', title: 'VIP', identifier: jid(2) },
    ],
  });
  expect((await loadConfig(file)).ok).toBe(true);
  expect(standIn.log.all.map(({ path }) => path)).toEqual([
    '/api/instance/list',
    '/api/group/list/bot?includeMembers=false',
  ]);
});

it('writes the limit that RyzeAPI shows', async () => {
  const { standIn, file, read, ends } = await makeOnlineRig({ groups, limit: { limit: 40 } });
  await ends(['init', '--instance', 'bot', '--base-url', `${standIn.url}/`]);
  expect(parse(read() ?? '')).toMatchObject({
    api: { baseUrl: standIn.url },
    instances: [{ name: 'bot', rateLimit: { max: 40, per: '1m', reserve: 4 } }],
  });
  expect((await loadConfig(file)).ok).toBe(true);
});

it.each([
  [
    'without a token',
    { RYZE_TOKEN: '' },
    'No groups were listed: the environment variable RYZE_TOKEN (tokenEnv) is empty.',
  ],
  ['when RyzeAPI refuses', { RYZE_TOKEN: 'wrong' }, 'No groups were listed: Invalid token (unauthorized): '],
])('writes an example %s, and says what to do next', async (_, env, why) => {
  const { standIn, folder, ends } = await makeOnlineRig({ groups });
  const file = join(folder, "a/b o'b/mine.yaml");
  const { code, stdout, stderr } = await ends(['init', '--config', file, '--base-url', standIn.url], env);
  expect(code).toBe(0);
  expect(stderr).toContain(why);
  expect(stdout).toContain('put the name of your instance into the file');
  const quoted = `'${file.replace("'", `'\\''`)}'`;
  expect(stdout).toContain(`invite-rotator groups --yaml --config ${quoted} >> ${quoted}`);
  expect(parse(readFileSync(file, 'utf8'))).toMatchObject({ groups: [{ id: 'example', enabled: false }] });
  expect((await loadConfig(file)).ok).toBe(true);
});

it('asks to choose if the token may use several instances', async () => {
  const { standIn, read, ends } = await makeOnlineRig({ groups, tokens: [{ token: 'of-the-account' }] });
  expect(await ends(['init', '--base-url', standIn.url], { RYZE_TOKEN: 'of-the-account' })).toEqual({
    code: 2,
    stdout: '',
    stderr: 'the token may use 2 instances; choose one with --instance: bot, bot2\n',
  });
  expect(read()).toBeNull();
});

it('never overwrites, not even a link to nowhere, and asks nothing then', async () => {
  const { standIn, folder, file, read, ends } = await makeOnlineRig({ groups });
  const refusal = (path: string) => ({
    code: 1,
    stdout: '',
    stderr: `${path} exists already, and init never overwrites a file\n`,
  });
  writeFileSync(file, 'mine');
  expect(await ends(['init', '--base-url', standIn.url])).toEqual(refusal(file));
  expect(read()).toBe('mine');
  const link = join(folder, 'link.yaml');
  symlinkSync(join(folder, 'nowhere'), link);
  expect(await ends(['init', '--config', link, '--base-url', standIn.url])).toEqual(refusal(link));
  expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  expect(standIn.log.all).toEqual([]);
  expect(await ends(['init', '--config', join(file, 'x.yaml')], { RYZE_TOKEN: '' })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^cannot write .*x\.yaml: E/),
  });
});

it('refuses an address that would send the token in the clear', async () => {
  const { ends } = await makeOnlineRig();
  expect(await ends(['init', '--base-url', 'http://example.com'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^--base-url: http would send the token in the clear/),
  });
});

it('is named where the default file is missing', async () => {
  const { ends } = await makeOnlineRig();
  for (const command of ['check', 'groups']) {
    const { code, stderr } = await ends([command], { ROTATOR_CONFIG: '' });
    expect(code).toBe(2);
    expect(stderr).toMatch(/config\/rotation\.yaml:1:1 there is no such file: run "invite-rotator init"/);
  }
});
