/** `links` and `history`: the built program on what workers have stored. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, it, onTestFinished } from 'vitest';
import { jid, line, registryRig } from '../groups/registryRig.ts';
import { info } from '../rotation/samples.ts';
import { run } from '../support/cli.ts';
import { failed, silent } from '../support/outcomes.ts';

const linkTo = (code: string) => `https://chat.whatsapp.com/${code}`;

/** Groups as workers leave them; the file that the commands read has only the prefix. */
async function stored() {
  const rig = registryRig();
  await rig.sync(line('vip', 1), line('gold', 2), line('quiet', 3), line('refused', 4), line('again', 'GOLDcode1'));
  await rig.adopt('vip', 'VIPcode1');
  await rig.end('vip', await rig.begin('vip', { request: { ...info, identity: 'job-1' } }), {
    kind: 'reset',
    jid: jid(1),
    inviteCode: 'VIPcode2',
  });
  await rig.adopt('gold', 'GOLDcode1');
  await rig.resolve('again', jid(2), 'GOLDcode1');
  await rig.apply(jid(4), { kind: 'gaveUp', work: { kind: 'verification' }, failure: failed('not_admin') });
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-links-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(file, `redis: { prefix: ${rig.prefix} }`);
  const env = { REDIS_URL: inject('redisUrl'), ROTATOR_CONFIG: file };
  const ends = async (...args: string[]) => {
    const started = run(args, { env });
    const code = await started.ended;
    return { code, stdout: started.stdout, stderr: started.stderr, lines: linesOf(started.stdout) };
  };
  return { ...rig, ends };
}

const linesOf = (text: string) => text.split('\n').flatMap((one) => (one === '' ? [] : [one.trimEnd()]));

it('prints the current links, and why a group has none', async () => {
  const rig = await stored();
  const rotatedAt = async (id: string) => new Date((await rig.record(id)).rotatedAt!).toISOString();
  const [vip, gold] = [await rotatedAt('vip'), await rotatedAt('gold')];
  const all = await rig.ends('links');
  expect([all.code, all.stderr]).toEqual([0, '']);
  expect(all.lines.map((one) => one.split(/ {2,}/))).toEqual([
    ['GROUP', 'LINK', 'SINCE', 'REASON', 'REMARK'],
    ['again', '-', '-', '-', 'the same WhatsApp group as gold'],
    ['gold', linkTo('GOLDcode1'), gold, 'adopted'],
    ['quiet', '-', '-', '-', 'not read yet'],
    ['refused', '-', '-', '-', 'not_admin: not_admin'],
    ['vip', linkTo('VIPcode2'), vip, 'request'],
  ]);

  await rig.end('vip', await rig.begin('vip'), silent);
  const named = await rig.ends('links', '--json', linkTo('VIPcode1'), 'vpi', jid(2), linkTo('NOBODYs1'));
  expect(named.code).toBe(2);
  expect(named.stderr).toBe(
    'unknown group "vpi": it is not registered; did you mean "vip"?\nunknown link: no registered group has or had it\n',
  );
  expect(JSON.parse(named.stdout)).toEqual([
    {
      group: 'vip',
      jid: jid(1),
      inviteCode: 'VIPcode2',
      inviteLink: linkTo('VIPcode2'),
      revision: Date.parse(vip),
      rotatedAt: vip,
      reason: 'request',
      nextRotationAt: expect.any(String),
      remark: 'may have been replaced: a reset had no answer, and the link is being read back',
    },
    expect.objectContaining({ group: 'gold', inviteCode: 'GOLDcode1', remark: null }),
  ]);
});

it("prints a group's revisions, newest first, by any name or link that it has or had", async () => {
  const rig = await stored();
  await rig.sync(line('new-vip', 1), line('gold', 2));
  await rig.adopt('new-vip', 'VIPcode2');
  const one = await rig.ends('history', linkTo('VIPcode1'), '--json');
  expect([one.code, one.stderr]).toEqual([0, '']);
  const [third, second, first, ...others] = JSON.parse(one.stdout);
  expect(others).toEqual([]);
  expect(third).toMatchObject({ group: 'new-vip', publishedAs: 'new-vip', inviteCode: 'VIPcode2', until: null });
  expect(second).toEqual({
    group: 'new-vip',
    jid: jid(1),
    publishedAs: 'vip',
    revision: Date.parse(second.from),
    inviteCode: 'VIPcode2',
    inviteLink: linkTo('VIPcode2'),
    from: expect.any(String),
    until: third.from,
    reason: 'request',
    request: info,
  });
  expect(first).toMatchObject({ inviteCode: 'VIPcode1', reason: 'adopted', request: null, until: second.from });

  const all = await rig.ends('history', '--since', '7d');
  expect([all.code, all.stderr]).toEqual([0, '']);
  expect(all.lines.map((text) => text.split(/ {2,}/).slice(1))).toMatchObject([
    ['UNTIL', 'GROUP', 'LINK', 'REASON', 'REQUESTED BY', 'WHY'],
    ['now', 'new-vip', linkTo('VIPcode2'), 'adopted', '-', '-'],
    ['now', 'gold', linkTo('GOLDcode1'), 'adopted', '-', '-'],
    [expect.any(String), 'new-vip (as vip)', linkTo('VIPcode2'), 'request', 'me', 'leaked'],
    [expect.any(String), 'new-vip (as vip)', linkTo('VIPcode1'), 'adopted', '-', '-'],
  ]);

  for (const [args, code, stderr] of [
    [['vip', '--since', '1ms'], 0, /^no revisions in that time\n$/],
    [['vip', '--since', 'tuesday'], 2, /^--since: "tuesday" is not a duration such as 12h or 7d/],
    [[linkTo('NOBODYs1')], 2, /^unknown link: no registered group has or had it\n$/],
  ] as const) {
    const ended = await rig.ends('history', ...args);
    expect([ended.code, ended.stdout]).toEqual([code, '']);
    expect(ended.stderr).toMatch(stderr);
  }
});
