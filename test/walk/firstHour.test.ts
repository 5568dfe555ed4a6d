/**
 * A new operator's first hour, with the built program and its embedded Redis: from an empty folder and a token to the
 * published links of 300 groups, none of which is replaced; then a leaked link, which is.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { logged, run } from '../support/cli.ts';
import { until } from '../support/until.ts';

const token = 'token-of-a-new-operator';
const groups = Array.from({ length: 300 }, (_, i) => ({
  jid: `1203634062890${String(10_000 + i)}@g.us`,
  // Some names are the same.
  name: `Turma ${i % 250}`,
}));

it('leads from a token to published links, and from a leaked link to a new one', async () => {
  const standIn = await startStandIn({
    instances: ['community-bot'],
    tokens: [{ token, instance: 'community-bot' }],
    groups,
    limit: { limit: 6_000 },
  });
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-walk-'));
  onTestFinished(async () => {
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const here = { env: { RYZE_TOKEN: token }, cwd: folder };
  const ends = async (...args: string[]) => {
    const ran = run(args, here);
    const code = await ran.ended;
    return { code, stdout: ran.stdout, stderr: ran.stderr };
  };

  // A file with every group.
  expect(await ends('init', '--base-url', standIn.url)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('with 300 groups of community-bot'),
  });
  const file = join(folder, 'config/rotation.yaml');
  // Neither is part of the walk: the pages' port may be in use here, and a first rotation may be due within seconds.
  const text = readFileSync(file, 'utf8').replace('every: 7d', 'every: 3650d');
  writeFileSync(file, text.replace('\ninstances:', '\nops: off\ninstances:'));
  const listed = await ends('groups');
  expect(listed.stdout).toContain('community-bot is a member of 300 groups; the file lacks 0.');

  // Asked before the start, with one read a group.
  const checked = await ends('check', '--online');
  expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('No group would fail') });
  expect(standIn.log.of({ endpoint: 'info' })).toHaveLength(300);

  // The first start reads each link once more, and replaces none.
  const worker = run(['start'], here);
  const readByStart = () => standIn.log.of({ endpoint: 'info' }).slice(300);
  await logged(worker, 'started');
  await until('every link to be adopted', () => adopted(worker) === 300);
  const links = await ends('links', '--json');
  const published: { group: string; jid: string; inviteLink: string }[] = JSON.parse(links.stdout);
  expect(published.map(({ jid, inviteLink }) => [jid, inviteLink]).sort()).toEqual(
    groups.map(({ jid }) => [jid, standIn.linkOf(jid)]).sort(),
  );
  expect(
    readByStart()
      .map(({ identifier }) => identifier)
      .sort(),
  ).toEqual(groups.map(({ jid }) => jid).sort());
  expect(standIn.log.of({ endpoint: 'reset' })).toEqual([]);

  // A link was found on a public site.
  const [leaked] = published;
  if (leaked === undefined) throw new Error('no link was published');
  const rotated = await ends('rotate', leaked.inviteLink, '--wait');
  expect(rotated).toMatchObject({ code: 0, stdout: `${leaked.group}  rotated  ${standIn.linkOf(leaked.jid)}\n` });
  expect(standIn.isLive(leaked.inviteLink.slice(-22))).toBe(false);
  // It is reported once more.
  const again = await ends('rotate', leaked.inviteLink, '--wait');
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining(`${leaked.group}  satisfied`) });
  expect(standIn.log.of({ endpoint: 'reset' }).map(({ jid }) => jid)).toEqual([leaked.jid]);
  expect(readByStart()).toHaveLength(300);

  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(standIn.log.of({ status: 429 })).toEqual([]);
  for (const { stdout } of [worker, listed, checked]) expect(stdout).not.toContain(token);
});

function adopted(worker: ReturnType<typeof run>): number {
  return worker.stdout.split('"event":"link.adopted"').length - 1;
}
