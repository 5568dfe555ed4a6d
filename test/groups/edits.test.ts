/** What saving a file would do, compared with what saving it does. */
import { expect, it } from 'vitest';
import { editsOf } from '../../src/groups/edits.ts';
import { groupsFile } from '../../src/groups/files.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { configOf, hourMs, jid, line, registryRig } from './registryRig.ts';

function make() {
  const rig = registryRig();
  const db = createDatabase(rig.redis, rig.prefix);
  const dump = async () => {
    const names = (await rig.redis.keys(`${rig.prefix}*`)).sort();
    return await Promise.all(names.map(async (name) => [name, (await rig.redis.dumpBuffer(name)).toString('hex')]));
  };
  return {
    ...rig,
    /** The edits of a file with these groups. Fails if anything in Redis changes. */
    async edits(groups: string[], more = '') {
      const before = await dump();
      const edits = await editsOf(db, await groupsFile(configOf(groups, more)));
      expect(await dump()).toEqual(before);
      return edits;
    },
  };
}

const at = (ms: number) => `${new Date(ms).toISOString().slice(0, 16)}Z`;

it('adopts every group of a first file', async () => {
  const { edits } = make();
  const { registered, changes } = await edits([line('a', 1), line('b', 2, ', firstSeen: rotate')]);
  expect(registered).toBe(0);
  expect(changes).toEqual([
    {
      group: 'b',
      actions: ['rotated', 'adopted'],
      text: 'rotated at once; adopted: its live link is read and published',
      nextRotationAt: expect.any(String),
    },
    {
      group: 'a',
      actions: ['adopted'],
      text: expect.stringMatching(/^adopted: its live link is read and published; next rotation 2\S+Z$/),
      nextRotationAt: expect.any(String),
    },
  ]);
});

it('is empty for the file that is registered', async () => {
  const { sync, edits } = make();
  const groups = [line('a', 1), line('b', 2), line('c', 'CODE00001')];
  await sync(...groups);
  expect(await edits(groups)).toEqual({ registered: 3, changes: [] });
});

it('says what happens to each group that changes, worst first', async () => {
  const { sync, adopt, reset, edits, record, change } = make();
  const same = [line('same', 9)];
  const ids = ['short', 'long', 'moved', 'gone', 'old', 'off', 'other'];
  await sync(...ids.map((id, i) => line(id, i, ', firstSeen: wait')), line('on', 7, ', enabled: false'), ...same);
  for (const id of ids) {
    await adopt(id, `FIRST-${id}`);
    await reset(id, `SECOND-${id}`);
  }
  const resetAt = (await record('short')).lastResetAt!;
  await change('short', { lastResetAt: resetAt - 30 * 60_000, dueAt: resetAt + 30 * 60_000 });
  const file = [
    line('short', 0, ', every: 10m'),
    line('long', 1, ', every: 2h'),
    line('moved', 2, ', instance: bot2'),
    line('new-id', 4),
    line('off', 5, ', enabled: false'),
    line('other', 8),
    line('on', 7),
    line('added', 6, ', firstSeen: wait'),
    ...same,
  ];
  const { registered, changes } = await edits(file);
  expect(registered).toBe(9);
  const long = (await record('long')).lastResetAt!;
  expect(changes.map(({ group, actions, text }) => [group, actions.join(' '), text])).toEqual([
    ['short', 'rotated rescheduled', 'rotated at once; every 1h becomes every 10m'],
    ['gone', 'removed', 'removed: no more rotations; its history is kept for 30 days'],
    ['other', 'repointed', expect.stringMatching(/^names another WhatsApp group: .*; next rotation /)],
    ['moved', 'moved', expect.stringMatching(/^moved from bot to bot2; next rotation /)],
    ['off', 'disabled', 'disabled: no scheduled rotations'],
    ['long', 'rescheduled', `every 1h becomes every 2h; next rotation ${at(long + 2 * hourMs)}`],
    ['added', 'renamed', expect.stringMatching(/^renamed from other: /)],
    ['new-id', 'renamed', expect.stringMatching(/^renamed from old: .* under the new id; next rotation /)],
    ['on', 'enabled', expect.stringMatching(/^enabled; next rotation /)],
  ]);

  await sync(...file);
  for (const { group, nextRotationAt } of changes.filter(({ actions }) => !actions.includes('removed'))) {
    const { dueAt, entry } = await record(group);
    const isSoon = dueAt === null || Math.abs(dueAt - Date.parse(nextRotationAt ?? '')) < 60_000;
    expect([group, entry?.enabled === false ? nextRotationAt === null : isSoon]).toEqual([group, true]);
  }
  expect((await edits(file)).changes).toEqual([]);
});

it('names duplicates, groups that return, and records that cannot be read', async () => {
  const { sync, edits, redis, keys, resolve } = make();
  await sync(line('a', 1), line('link', 'CODE00001'), line('gone', 3), line('broken', 4));
  await resolve('link', jid(2), 'CODE00001');
  await sync(line('a', 1), line('link', 'CODE00001'), line('broken', 4));
  await redis.hset(keys.group(jid(4)), 'record', '{}');
  const { changes } = await edits([
    line('a', 1),
    line('twin', 'CODE00001'),
    line('link', 2),
    line('gone', 3),
    line('broken', 4, ', every: 2h'),
  ]);
  const texts = new Map(changes.map(({ group, text }) => [group, text]));
  expect(texts.get('broken')).toContain('its record in Redis cannot be read');
  expect(texts.get('gone')).toMatch(/^back in the file/);
  expect([texts.get('twin'), texts.get('link')].join(' ')).toContain('the same WhatsApp group as');
});

it('says in general what happens to events and reads', async () => {
  const { sync, edits } = make();
  await sync(line('a', 1));
  const queues = await edits([line('a', 1)], 'results: { queues: [other] }');
  expect(queues.changes).toMatchObject([{ group: 'a', actions: ['updated'], text: 'its events go to other queues' }]);
  const off = await edits([line('a', 1)], 'verify: off');
  expect(off.changes).toMatchObject([{ text: 'its link is read back at other times' }]);
});
