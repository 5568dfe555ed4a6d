/** Many edits of records with few commands: each is still a compare-and-set of its own. */
import { expect, it } from 'vitest';
import { newRecord } from '../../src/groups/record.ts';
import { createGroupStore, type Plan, RecordError } from '../../src/groups/store.ts';
import { testRedis } from '../support/redis.ts';
import { jid, line, registryRig } from './registryRig.ts';

const count = 600;
const many = (name: (n: number) => string, more = '') =>
  Array.from({ length: count }, (_, n) => line(name(n), `120363406289${100_000 + n}@g.us`, more));

/** Counts the commands that a client sends. */
function sentBy({ redis }: Pick<ReturnType<typeof testRedis>, 'redis'>) {
  let sent = 0;
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (...command) => {
    sent++;
    return send(...command);
  };
  return async (run: () => Promise<unknown>) => {
    const before = sent;
    await run();
    return sent - before;
  };
}

it('registers, changes, moves and renames hundreds of groups with each round trip', async () => {
  const rig = registryRig();
  const commandsOf = sentBy(rig);
  const first = await commandsOf(() => rig.sync(...many((n) => `a${n}`)));
  const changed = await commandsOf(() => rig.sync(...many((n) => `a${n}`, ', every: 2h')));
  const moved = await commandsOf(() => rig.sync(...many((n) => `a${n}`, ', instance: bot2')));
  const renamed = await commandsOf(() => rig.sync(...many((n) => `b${n}`, ', instance: bot2')));
  // Less than a tenth of a command for each group, though slow turns of the event loop may split some.
  expect({ first, changed, moved, renamed }).toEqual({
    first: expect.toSatisfy((sent) => sent < count / 10),
    changed: expect.toSatisfy((sent) => sent < count / 10),
    moved: expect.toSatisfy((sent) => sent < count / 10),
    renamed: expect.toSatisfy((sent) => sent < count / 5),
  });
  const record = await rig.record('b77');
  expect(record).toMatchObject({ entry: { group: 'b77', instance: 'bot2' }, jid: '120363406289100077@g.us' });
  expect(await rig.redis.zcard(rig.keys.due('bot2'))).toBe(count);
  expect(await rig.redis.zcard(rig.keys.due('bot'))).toBe(0);
});

it('loses nothing that rotations commit meanwhile', async () => {
  const rig = registryRig();
  const ids = Array.from({ length: 60 }, (_, n) => `a${n}`);
  const file = (more: string) => ids.map((id, n) => line(id, `120363406289${100_000 + n}@g.us`, more));
  await rig.sync(...file(''));
  const rotate = async () => {
    for (const [n, id] of ids.entries()) await rig.reset(id, `CODE${n}`);
  };
  await Promise.all([
    rotate(),
    (async () => {
      for (const every of ['2h', '3h', '4h', '5h']) await rig.sync(...file(`, every: ${every}`));
    })(),
  ]);
  for (const [n, id] of ids.entries()) {
    const { link, entry, attempts } = await rig.record(id);
    expect({ code: link?.code, attempts, schedule: entry?.schedule }).toMatchObject({
      code: `CODE${n}`,
      schedule: { everyMs: 5 * 3_600_000 },
    });
  }
  expect((await rig.events()).filter(({ type }) => type === 'link.rotated')).toHaveLength(ids.length);
});

it('makes every edit of a record that several edits change, each once', async () => {
  const store = createGroupStore(testRedis());
  const fail: Plan<number> = async (reader) => {
    const record = await reader.record(jid(1));
    return { records: { [jid(1)]: { ...record, attempts: record.attempts + 1 } }, result: record.attempts };
  };
  const results = await store.editAll(Array.from({ length: 30 }, () => fail));
  expect([...results].sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 30 }, (_, n) => n));
  expect((await store.load(jid(1))).record.attempts).toBe(30);
});

it('makes the other edits if one record cannot be read', async () => {
  const { redis, keys, ...db } = testRedis();
  const store = createGroupStore({ redis, keys, ...db });
  await redis.hset(keys.group(jid(2)), { version: '1', record: 'damaged' });
  const write = (id: string): Plan<string> => {
    return async (reader) => {
      await reader.record(id);
      return { records: { [id]: { ...newRecord, attempts: 7 } }, result: id };
    };
  };
  const results = await store.editAll([write(jid(1)), write(jid(2)), write(jid(3))]);
  expect(results).toEqual([jid(1), expect.any(RecordError), jid(3)]);
  expect((await store.load(jid(3))).record.attempts).toBe(7);
});
