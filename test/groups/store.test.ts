import { describe, expect, it } from 'vitest';
import type { LinkEvent } from '../../src/contract/event.ts';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { entry, jid, settled, uncertain } from '../rotation/samples.ts';
import { testRedis } from '../support/redis.ts';

const event = (id: string) => ({ id }) as unknown as LinkEvent;
/** Due at 500, verified next at 700. */
const registered: GroupRecord = {
  ...settled,
  entry: { ...entry, queues: ['invite-links', 'mirror'], verifyEveryMs: 100 },
  dueAt: 500,
  rotatedAt: 500,
  verifiedAt: 600,
};

function storeOf(db = testRedis()) {
  const { redis, keys } = db;
  const store = createGroupStore(db);
  return {
    redis,
    keys,
    store,
    put: (over: Partial<GroupRecord> = {}) =>
      store.update(jid, () => ({ record: { ...registered, ...over }, result: undefined })),
    set: (over: Partial<GroupRecord>) =>
      store.update(jid, (record) => ({ record: { ...record, ...over }, result: undefined })),
    times: async () => {
      const all = [keys.due('bot'), keys.verifications('bot'), keys.unsettled];
      return await Promise.all(all.map(async (key) => await redis.zscore(key, jid)));
    },
  };
}

it("has an empty record for a group that is not stored, and Redis's clock", async () => {
  const { store } = storeOf();
  const { record, nowMs } = await store.load(jid);
  expect(record).toEqual(newRecord);
  expect(Math.abs(nowMs - Date.now())).toBeLessThan(60_000);
});

it('commits a record, its index times and its events in one step', async () => {
  const { store, times, redis, keys } = storeOf();
  const result = await store.update(jid, () => ({
    record: { ...registered, verificationOwedAt: 900 },
    events: [event('e1'), event('e2')],
    result: 'done',
  }));
  expect(result).toBe('done');
  expect((await store.load(jid)).record).toEqual({ ...registered, verificationOwedAt: 900 });
  expect(await times()).toEqual(['500', '700', '900']);
  for (const queue of ['invite-links', 'mirror']) {
    expect(await redis.lrange(keys.outbox(queue), 0, -1)).toEqual(['{"id":"e1"}', '{"id":"e2"}']);
  }
});

it('removes a group from indexes in which it has no time, and does not touch unchanged times', async () => {
  const { put, set, times, redis, keys } = storeOf();
  await put({ uncertain });
  // The planner postpones a group while its job is queued.
  for (const key of [keys.due('bot'), keys.unsettled]) await redis.zadd(key, 999, jid);
  await set({ attempts: 1, entry: { ...entry, verifyEveryMs: null } });
  expect(await times()).toEqual(['999', null, '999']);
  await set({ dueAt: null, uncertain: null });
  expect(await times()).toEqual([null, null, null]);
});

it('restores the index times of a registered record that the planner has postponed', async () => {
  const { put, times, store, redis, keys } = storeOf();
  await put();
  await redis.zadd(keys.due('bot'), 999, jid);
  await redis.zrem(keys.verifications('bot'), jid);
  await store.edit(async (reader) => ({
    records: { [jid]: await reader.record(jid) },
    result: undefined,
  }));
  expect(await times()).toEqual(['500', '700', null]);
});

it('changes several records, registrations and resolved codes in one step, or nothing', async () => {
  const { store, put, redis, keys } = storeOf();
  await put();
  let tries = 0;
  await store.edit(async (reader) => {
    const known = await reader.registration('vip');
    const record = await reader.record(jid);
    await reader.record('vip');
    // Another process changes what was read.
    if (tries++ === 0) await put({ attempts: 7 });
    return {
      records: { [jid]: null, vip: { ...record, jid: null } },
      events: { vip: [event('e')] },
      registrations: {
        vip: known ?? {
          entry,
          recordId: 'vip',
          generation: 1,
          duplicateOf: null,
          published: null,
          failures: 0,
          evicted: false,
          removedAt: null,
        },
      },
      resolved: { CODE: jid },
      result: undefined,
    };
  });
  expect(tries).toBe(2);
  expect(await redis.exists(keys.group(jid))).toBe(0);
  expect((await store.load('vip')).record).toMatchObject({ attempts: 7, jid: null });
  expect([await redis.zscore(keys.due('bot'), jid), await redis.zscore(keys.due('bot'), 'vip')]).toEqual([null, '500']);
  expect(await redis.hget(keys.resolved, 'CODE')).toBe(jid);
  expect(await redis.hget(keys.registered, 'vip')).toContain('"recordId":"vip"');
  expect(await redis.lrange(keys.outbox('mirror'), 0, -1)).toEqual(['{"id":"e"}']);
});

it('writes nothing if a change has nothing to write', async () => {
  const { store, redis, keys } = storeOf();
  const seen = await store.update(jid, () => ({ record: null, events: [event('e')], result: 1 }));
  expect(seen).toBe(1);
  expect(await redis.exists(keys.group(jid), keys.outbox('invite-links'))).toBe(0);
});

it('loses none of many concurrent changes', async () => {
  const { store, put } = storeOf();
  await put({ attempts: 0 });
  await Promise.all(
    Array.from({ length: 40 }, () =>
      store.update(jid, (record) => ({ record: { ...record, attempts: record.attempts + 1 }, result: undefined })),
    ),
  );
  expect((await store.load(jid)).record.attempts).toBe(40);
});

it('keeps keys that a newer version has written', async () => {
  const { put, set, redis, keys } = storeOf();
  await put();
  const key = keys.group(jid);
  const stored = JSON.parse((await redis.hget(key, 'record'))!);
  const newer = {
    ...stored,
    mood: 'good',
    entry: { ...stored.entry, tags: ['a'] },
    link: { ...stored.link, seenBy: 3 },
  };
  await redis.hset(key, 'record', JSON.stringify(newer));
  await set({ attempts: 3 });
  expect(JSON.parse((await redis.hget(key, 'record'))!)).toEqual({ ...newer, attempts: 3 });
});

describe('a broken record', () => {
  it.each([
    ['not JSON', '{', /group vip: its record in Redis cannot be read \(it is not JSON\)/],
    [
      "another version's",
      '{"jid":7}',
      /group vip: its record in Redis cannot be read \(jid: .* delete the key \S+:group:vip /,
    ],
  ])('is rejected by name if it is %s, and kept', async (_name, json, message) => {
    const { store, redis, keys } = storeOf();
    await redis.hset(keys.group('vip'), 'version', 3, 'record', json);
    await expect(store.load('vip')).rejects.toThrow(message);
    expect(await redis.hget(keys.group('vip'), 'record')).toBe(json);
  });
});
