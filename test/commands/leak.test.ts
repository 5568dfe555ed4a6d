/** `rotate` with the link that leaked: the built program beside a running worker. */
import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { bot, file, group, started } from '../support/edited.ts';
import { jids } from '../support/rig.ts';

const linkTo = (code: string) => `https://chat.whatsapp.com/${code}`;

it('replaces a leaked link, and says of the same link that it was replaced', async () => {
  const { rig } = await started(file(bot, group('vip', 0), group('gold', 1)));
  await rig.adopted('vip', 'gold');
  const leaked = rig.standIn.linkOf(jids[0]!);
  const env = { REDIS_URL: rig.url, ROTATOR_CONFIG: rig.file, TOKEN: 'of-no-use' };
  const ends = async (...args: string[]) => {
    const command = run(['rotate', ...args], { env });
    return { code: await command.ended, out: command.stdout, err: command.stderr };
  };
  const resets = () => rig.standIn.log.of({ endpoint: 'reset' }).length;

  const first = await ends(leaked, '--wait', '--reason', 'found on a forum');
  const live = rig.standIn.linkOf(jids[0]!);
  expect([first.code, first.out]).toEqual([0, `vip  rotated  ${live}\n`]);
  const again = await ends(`${leaked}?mode=wwt`, '--wait');
  expect([again.code, again.out]).toEqual([0, `vip  satisfied  ${live}\n`]);
  expect(again.err).toMatch(/^vip: the link in the request was replaced at \S+Z \(request, found on a forum, \S+\)\n$/);
  const queued = await ends(leaked);
  expect([queued.code, queued.out]).toEqual([0, expect.stringMatching(/^vip {2}queued {2}job \S+\n$/)]);
  expect(queued.err).toMatch(/^vip: the link in the request was replaced at /);
  expect(resets()).toBe(1);

  // Two links of one group are two requests: only one of them is still live.
  const both = await ends(leaked, live, '--wait', '--json');
  const results = both.out.trim().split('\n');
  expect(results.map((line) => JSON.parse(line).status).sort()).toEqual(['rotated', 'satisfied']);
  expect(resets()).toBe(2);

  const dead = await ends(linkTo('NeverSeenBefore1234567'), '--wait');
  expect([dead.code, dead.out]).toEqual([1, '']);
  expect(dead.err).toMatch(
    /^unknown {2}failed {2}group_not_found: no group in the configuration file has or had this link/,
  );
  expect(dead.err).not.toMatch(/vip|gold|NeverSeen|did you mean/);
  expect(resets()).toBe(2);
});
