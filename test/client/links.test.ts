/** The library, with groups that are named by their links. */
import { expect, it, onTestFinished } from 'vitest';
import { createRotationClient } from '../../src/index.ts';
import { bot, bot2, file, group, started } from '../support/edited.ts';
import { jids, type Rig } from '../support/rig.ts';

const linkTo = (code: string) => `https://chat.whatsapp.com/${code}`;
const reads = (rig: Rig) => rig.standIn.log.of({ endpoint: 'info' });

async function withClient() {
  const yaml = file(
    `${bot}, ${bot2}`,
    ...[0, 1].map((n) => group(`a${n}`, n, ', instance: bot')),
    group('b', 2, ', instance: bot2'),
  );
  const { rig } = await started(yaml, {
    groups: [
      ...[0, 1].map((n) => ({ jid: jids[n]!, admins: ['bot'] })),
      ...[2, 3].map((n) => ({ jid: jids[n]!, admins: ['bot2'] })),
    ],
  });
  await rig.adopted('a0', 'a1', 'b');
  const client = createRotationClient({ connection: rig.url, prefix: rig.prefix });
  onTestFinished(() => client.close());
  return { rig, client, code: (n: number) => rig.standIn.codeOf(jids[n]!) };
}

it('rotates the group of a current link, and says when and why a link was replaced', async () => {
  const { rig, client, code } = await withClient();
  const leaked = code(2);
  const before = reads(rig).length;
  const rotated = await client.rotate(linkTo(leaked), { reason: 'leaked', requestedBy: 'me', requestId: 'r1' });
  expect(rotated).toMatchObject({ status: 'rotated', group: 'b', inviteCode: code(2) });

  const replaced = {
    replacedAt: rotated.rotatedAt,
    replacedReason: 'request',
    replacedRequest: { reason: 'leaked', requestedBy: 'me', requestId: 'r1' },
  };
  expect(await client.rotate(leaked)).toEqual({ ...rotated, status: 'satisfied', ...replaced });
  const { status: _, ...link } = rotated;
  expect(await client.current(leaked)).toMatchObject({ ...link, ...replaced });
  const current = await client.current(linkTo(code(2)));
  expect(current).toMatchObject(link);
  expect(current).not.toHaveProperty('replacedAt');
  expect(await client.request(leaked)).toMatchObject({ group: 'b', instance: 'bot2' });
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
  expect(reads(rig)).toHaveLength(before);
});

it('has a link that nobody knows looked up by the instance with the most groups, then by the others', async () => {
  const { rig, client, code } = await withClient();
  const made = rig.standIn.resetByHand(jids[2]!);
  const before = reads(rig).length;
  const asked = () =>
    reads(rig)
      .slice(before)
      .map(({ instance, status }) => `${instance} ${status}`);
  expect(await client.rotate(linkTo(made))).toMatchObject({ status: 'rotated', group: 'b', inviteCode: code(2) });
  expect(asked()).toEqual(['bot 404', 'bot2 200']);

  const dead = linkTo('NeverSeenBefore1234567');
  const failure = await client.rotate(dead).catch((error: unknown) => error);
  expect(failure).toMatchObject({ name: 'RotationError', code: 'group_not_found' });
  expect(String(failure)).toMatch(
    /no group in the configuration file has or had this link, and a look-up finds no group by it \(bot: .*; bot2: .*\)$/,
  );
  expect(asked()).toEqual(['bot 404', 'bot2 200', 'bot 404', 'bot2 404']);

  await expect(client.rotate(code(3))).rejects.toMatchObject({
    code: 'invalid_request',
    message: `the link is of a WhatsApp group that is not in the configuration file (${jids[3]})`,
  });
  await expect(client.current(dead)).rejects.toThrow('unknown link: no registered group has or had it');
  expect(await client.request(dead)).toMatchObject({ group: 'unknown', instance: 'bot' });
});

it('refuses what is neither a group nor a link before it pushes', async () => {
  const { rig, client } = await withClient();
  for (const [name, message] of [
    ['https://wa.me/5511999999999', 'unknown group: the name is a link to a person'],
    ['5511999999999@c.us', 'unknown group: the name is the address of a person'],
    ['No-Such-Group-1', 'unknown group "No-Such-Group-1": it is not in any worker'],
    ['no-such-group-1', 'unknown group "no-such-group-1": it is not in any worker'],
  ] as const) {
    await expect(client.request(name)).rejects.toThrow(message);
  }
  expect(await rig.queue('bot').getJobCounts('completed', 'failed', 'waiting')).toMatchObject({
    completed: expect.any(Number),
    failed: 0,
    waiting: 0,
  });
});
