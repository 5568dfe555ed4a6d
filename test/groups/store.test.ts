import { describe, expect, it } from 'vitest';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import { createGroupStore, type GroupPlace } from '../../src/groups/store.ts';
import type { LinkEvent } from '../../src/results/event.ts';
import { testRedis } from '../support/redis.ts';

const place = (over: Partial<GroupPlace> = {}): GroupPlace => ({
  id: 'vip',
  instance: 'bot',
  queues: ['invite-links', 'mirror'],
  verificationAt: (record) => record.verifiedAt,
  ...over,
});

const event = (id: string) => ({ id }) as unknown as LinkEvent;

it("has an empty record for a group nobody wrote, and Redis's clock", async () => {
  const { redis, keys } = testRedis();
  const { record, nowMs } = await createGroupStore(redis, keys).load('vip');
  expect(record).toEqual(newRecord);
  expect(Math.abs(nowMs - Date.now())).toBeLessThan(60_000);
});

it('commits a record, its times and its events in one step', async () => {
  const { redis, keys } = testRedis();
  const store = createGroupStore(redis, keys);
  const result = await store.update(place(), (record) => ({
    record: { ...record, dueAt: 500, verifiedAt: 700 },
    events: [event('e1'), event('e2')],
    result: 'done',
  }));
  expect(result).toBe('done');
  expect((await store.load('vip')).record).toEqual({ ...newRecord, dueAt: 500, verifiedAt: 700 });
  expect(await redis.zscore(keys.due('bot'), 'vip')).toBe('500');
  expect(await redis.zscore(keys.verifications('bot'), 'vip')).toBe('700');
  for (const queue of ['invite-links', 'mirror']) {
    expect(await redis.lrange(keys.outbox(queue), 0, -1)).toEqual(['{"id":"e1"}', '{"id":"e2"}']);
  }
});

it('takes a group out of the times it has no more, and leaves alone what did not change', async () => {
  const { redis, keys } = testRedis();
  const store = createGroupStore(redis, keys);
  const set = (over: Partial<GroupRecord>) =>
    store.update(place(), (record) => ({ record: { ...record, ...over }, result: undefined }));
  await set({ dueAt: 500, verifiedAt: 700 });
  // The planner holds a group back while its job is queued.
  await redis.zadd(keys.due('bot'), 999, 'vip');
  await set({ attempts: 1, verifiedAt: null });
  expect(await redis.zscore(keys.due('bot'), 'vip')).toBe('999');
  expect(await redis.zscore(keys.verifications('bot'), 'vip')).toBeNull();
  await set({ dueAt: null });
  expect(await redis.zscore(keys.due('bot'), 'vip')).toBeNull();
});

it('writes nothing when a change has nothing to write', async () => {
  const { redis, keys } = testRedis();
  const seen = await createGroupStore(redis, keys).update(place(), () => ({
    record: null,
    events: [event('e')],
    result: 1,
  }));
  expect(seen).toBe(1);
  expect(await redis.exists(keys.group('vip'), keys.outbox('invite-links'))).toBe(0);
});

it('loses no change of many at once', async () => {
  const { redis, keys } = testRedis();
  const store = createGroupStore(redis, keys);
  await Promise.all(
    Array.from({ length: 40 }, () =>
      store.update(place(), (record) => ({ record: { ...record, attempts: record.attempts + 1 }, result: undefined })),
    ),
  );
  expect((await store.load('vip')).record.attempts).toBe(40);
});

describe('a record that is broken', () => {
  it.each([
    ['not JSON', '{', /group vip: its record in Redis cannot be read \(it is not JSON\)/],
    [
      "another version's",
      '{"jid":7}',
      /group vip: its record in Redis cannot be read \(jid: .* delete the key \S+:group:vip /,
    ],
  ])('is refused by name when it is %s, and kept', async (_name, json, message) => {
    const { redis, keys } = testRedis();
    await redis.hset(keys.group('vip'), 'version', 3, 'record', json);
    await expect(createGroupStore(redis, keys).load('vip')).rejects.toThrow(message);
    expect(await redis.hget(keys.group('vip'), 'record')).toBe(json);
  });
});
