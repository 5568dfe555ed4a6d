import { expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { readRegistration, syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { placeOf } from '../../src/worker/rules.ts';
import { testRedis } from '../support/redis.ts';

const jid = (n: number) => `12036340628900507${n}@g.us`;

function config(...groups: string[]): Config {
  const parsed = parseConfig(
    `instances: [{ name: bot, tokenEnv: T }, { name: bot2, tokenEnv: U }]
defaults: { every: 1h, instance: bot }
groups: [${groups.join(', ')}]`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

function make() {
  const base = testRedis();
  const { redis, keys } = base;
  const store = createGroupStore(redis, keys);
  return {
    ...base,
    store,
    sync: (next: Config) => syncRegistry({ redis, keys, store, placeOf: (group) => placeOf(next, group) }, next),
    record: async (id: string) => (await store.load(id)).record,
    /** As a rotation would leave it. */
    rotated: (next: Config, id: string, rotatedAt: number) =>
      store.update(placeOf(next, next.groups.find((group) => group.id === id)!), (record) => ({
        record: {
          ...record,
          revision: rotatedAt,
          rotatedAt,
          dueAt: rotatedAt + 3_600_000,
          link: { code: 'C', url: 'U' },
        },
        result: undefined,
      })),
  };
}

it('adds what is new, and moves nothing at a restart', async () => {
  const { sync, record, redis, keys } = make();
  const file = config(`{ id: a, identifier: ${jid(1)} }`, `{ id: b, identifier: ${jid(2)}, firstSeen: wait }`);
  const nothing = { added: [], changed: [], removed: [], doubles: [], unreadable: [] };
  expect(await sync(file)).toEqual({ ...nothing, added: ['a', 'b'] });
  const [a, b] = [await record('a'), await record('b')];
  expect(a).toMatchObject({ jid: jid(1), dueAt: expect.any(Number) });
  expect(b.dueAt! - a.dueAt!).toBeGreaterThan(3_590_000);
  expect(await sync(file)).toEqual(nothing);
  expect([await record('a'), await record('b')]).toEqual([a, b]);
  expect(await redis.zscore(keys.due('bot'), 'a')).toBe(String(a.dueAt));
  expect(await readRegistration(redis, keys, 'a')).toMatchObject({ instance: 'bot' });
  expect(await readRegistration(redis, keys, 'nobody')).toBeNull();
});

it('counts a changed period from the last rotation, and writes only that group', async () => {
  const { sync, record, rotated, redis, keys } = make();
  const before = config(`{ id: a, identifier: ${jid(1)} }`, `{ id: b, identifier: ${jid(2)} }`);
  await sync(before);
  await rotated(before, 'a', 1_000_000);
  const versionOfB = await redis.hget(keys.group('b'), 'version');
  expect(
    await sync(config(`{ id: a, identifier: ${jid(1)}, every: 2h }`, `{ id: b, identifier: ${jid(2)} }`)),
  ).toMatchObject({
    changed: ['a'],
  });
  expect((await record('a')).dueAt).toBe(1_000_000 + 7_200_000);
  expect(await redis.hget(keys.group('b'), 'version')).toBe(versionOfB);
});

it('empties the schedule of a disabled group, and goes on where it was when it is enabled', async () => {
  const { sync, record, rotated, redis, keys } = make();
  const enabled = config(`{ id: a, identifier: ${jid(1)} }`);
  await sync(enabled);
  await rotated(enabled, 'a', 1_000_000);
  await sync(config(`{ id: a, identifier: ${jid(1)}, enabled: false }`));
  expect((await record('a')).dueAt).toBeNull();
  expect(await redis.zscore(keys.due('bot'), 'a')).toBeNull();
  await sync(enabled);
  expect((await record('a')).dueAt).toBe(1_000_000 + 3_600_000);
});

it('moves a group to the instance that serves it now', async () => {
  const { sync, redis, keys } = make();
  await sync(config(`{ id: a, identifier: ${jid(1)} }`));
  await sync(config(`{ id: a, identifier: ${jid(1)}, instance: bot2 }`));
  expect(await redis.zscore(keys.due('bot'), 'a')).toBeNull();
  expect(await redis.zscore(keys.due('bot2'), 'a')).not.toBeNull();
});

it("forgets a removed group's times, and keeps its history for when it comes back", async () => {
  const { sync, record, rotated, redis, keys } = make();
  const both = config(`{ id: a, identifier: ${jid(1)} }`, `{ id: b, identifier: ${jid(2)} }`);
  await sync(both);
  await rotated(both, 'a', 1_000_000);
  expect(await sync(config(`{ id: b, identifier: ${jid(2)} }`))).toMatchObject({ removed: ['a'] });
  expect(await redis.zscore(keys.due('bot'), 'a')).toBeNull();
  expect(await redis.ttl(keys.group('a'))).toBeGreaterThan(29 * 24 * 3600);
  await sync(both);
  expect(await record('a')).toMatchObject({ revision: 1_000_000, dueAt: 1_000_000 + 3_600_000 });
  expect(await redis.ttl(keys.group('a'))).toBe(-1);
  expect(await redis.zscore(keys.due('bot'), 'a')).not.toBeNull();
});

it('takes a group that was given another WhatsApp group for another one, whose revisions go on', async () => {
  const { sync, record, rotated } = make();
  const before = config(`{ id: a, identifier: ${jid(1)} }`);
  await sync(before);
  await rotated(before, 'a', 1_000_000);
  await sync(config(`{ id: a, identifier: ${jid(2)} }`));
  expect(await record('a')).toMatchObject({ jid: jid(2), link: null, revision: 1_000_000 });
});

it('gives a WhatsApp group to the first of two, and to the other when that one goes', async () => {
  const { sync, record, store, redis, keys } = make();
  const first = config('{ id: a, identifier: ABC123XYZ }');
  await sync(first);
  // `a` was resolved meanwhile.
  await redis.hset(keys.jids, jid(1), 'a');
  await store.update(placeOf(first, first.groups[0]!), (stored) => ({
    record: { ...stored, jid: jid(1) },
    result: undefined,
  }));
  const both = config('{ id: a, identifier: ABC123XYZ }', `{ id: b, identifier: ${jid(1)} }`);
  expect(await sync(both)).toMatchObject({ doubles: [['b', 'a']] });
  expect((await record('b')).duplicateOf).toBe('a');
  await sync(config(`{ id: b, identifier: ${jid(1)} }`));
  expect(await redis.hget(keys.jids, jid(1))).toBeNull();
});

it('lets a group be renamed in one edit', async () => {
  const { sync, redis, keys } = make();
  await sync(config(`{ id: a, identifier: ${jid(1)} }`));
  expect(await sync(config(`{ id: b, identifier: ${jid(1)} }`))).toMatchObject({
    added: ['b'],
    removed: ['a'],
    doubles: [],
  });
  expect(await redis.hget(keys.jids, jid(1))).toBe('b');
});
