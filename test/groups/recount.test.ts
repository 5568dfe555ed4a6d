import { expect, it } from 'vitest';
import { isRegistered } from '../../src/groups/record.ts';
import { recount } from '../../src/groups/recount.ts';
import { unreadableScore } from '../../src/groups/states.ts';
import { statusKeys, statusScores } from '../../src/groups/statusIndexes.ts';
import { jid, line, registryRig } from './registryRig.ts';

const instances = ['bot', 'bot2'];

/** Four groups of two instances, with links. */
async function recountRig() {
  const rig = registryRig();
  const { redis, keys, store, sync, adopt } = rig;
  await redis.zadd(keys.instances, 1, 'bot', 1, 'bot2', 1, 'gone');
  await sync(line('a', 1), line('b', 2), line('c', 3, ', instance: bot2'), line('d', 'CODE00004'));
  for (const id of ['a', 'b', 'c']) await adopt(id, `CODE${id}`);
  const indexes = [...instances, 'gone'].flatMap((instance) => statusKeys(keys, instance));
  const stored = async () =>
    Object.fromEntries(
      await Promise.all(indexes.map(async (key) => [key, await redis.zrange(key, '0', '-1', 'WITHSCORES')])),
    );
  return {
    ...rig,
    stored,
    ids: [jid(1), jid(2), jid(3), 'd'],
    /** Until every part was recounted once more. */
    async pass(): Promise<number> {
      let corrected = 0;
      for (let part = 0; part < 4; part++) corrected += await recount(rig);
      return corrected;
    },
    async expected() {
      const scores: Record<string, number> = {};
      for (const { recordId } of [...(await store.registrations()).values()].flatMap((one) => one ?? [])) {
        const { record } = await store.load(recordId);
        if (isRegistered(record))
          for (const [key, score] of statusScores(record, keys)) scores[`${key} ${recordId}`] = score;
      }
      return scores;
    },
  };
}

const flat = (stored: Record<string, string[]>) =>
  Object.fromEntries(
    Object.entries(stored).flatMap(([key, list]) =>
      list.flatMap((id, i) => (i % 2 === 0 ? [[`${key} ${id}`, Number(list[i + 1])] as const] : [])),
    ),
  );

it('counts everything at once that a version without indexes has stored', async () => {
  const { redis, keys, ids, pass, stored, expected } = await recountRig();
  const before = await stored();
  await redis.del(...Object.keys(before));
  expect(await recount({ redis, keys, prefix: '' })).toBeGreaterThanOrEqual(ids.length);
  expect(await stored()).toEqual(before);
  expect(flat(await stored())).toEqual(await expected());
  expect(await pass()).toBe(0);
});

it('corrects entries that are missing, wrong, left over or in the wrong instance', async () => {
  const { redis, keys, pass, stored, sync } = await recountRig();
  await pass();
  const before = await stored();
  const damages = [
    () => redis.zrem(keys.states('bot'), jid(1)),
    () => redis.zadd(keys.states('bot'), 5, jid(2)),
    () => redis.zadd(keys.states('bot2'), 7, jid(1)),
    () => redis.zadd(keys.states('gone'), 7, jid(1)),
    () => redis.zadd(keys.states('bot'), 9, 'nobody@g.us'),
    () => redis.zadd(keys.linkStarts('bot'), 9, 'nobody@g.us', 8, 'd'),
    () => redis.zadd(keys.linkPeriods('bot2'), 9, jid(2), 8, jid(3)),
    () => redis.del(keys.linkStarts('bot')),
    () => redis.del(keys.recount),
    () => redis.set(keys.recount, '{'),
  ];
  for (const [i, damage] of damages.entries()) {
    await damage();
    const corrected = await pass();
    expect(corrected > 0, `damage ${i}`).toBe(i < damages.length - 2);
    expect(await stored(), `damage ${i}`).toEqual(before);
  }
  await sync(line('a', 1));
  expect(await pass()).toBe(0);
  expect(await redis.zcard(keys.states('bot2'))).toBe(0);
});

it('shows a record that cannot be read until it can', async () => {
  const { redis, keys, pass, stored } = await recountRig();
  const before = await stored();
  const json = (await redis.hget(keys.group(jid(1)), 'record'))!;
  await redis.hset(keys.group(jid(1)), 'record', '{');
  await pass();
  expect(await redis.zscore(keys.states('bot'), jid(1))).toBe(String(unreadableScore));
  await redis.hset(keys.group(jid(1)), 'record', json);
  await pass();
  expect(await stored()).toEqual(before);
});

it('leaves a part to the worker that recounts it', async () => {
  const { redis, keys, pass } = await recountRig();
  await redis.del(keys.states('bot'));
  await redis.set(keys.recounting, '1');
  expect(await pass()).toBe(0);
  await redis.del(keys.recounting);
  expect(await pass()).toBe(3);
});

it('takes no more parts for many instances with few groups', async () => {
  const { redis, keys, pass } = await recountRig();
  await pass();
  for (let i = 0; i < 200; i++) await redis.zadd(keys.instances, 1, `bot${i}`);
  await redis.zadd(keys.states('bot199'), 7, 'nobody@g.us');
  let corrected = 0;
  for (let part = 0; part < 40; part += 4) corrected += await pass();
  expect(corrected).toBe(1);
});
