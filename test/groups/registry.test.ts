import { describe, expect, it } from 'vitest';
import type { RegistryChanges } from '../../src/groups/registry.ts';
import { resetTo, unknown } from '../support/outcomes.ts';
import { configOf, hourMs, jid, line, registryRig } from './registryRig.ts';

const nothing: RegistryChanges = {
  added: [],
  changed: [],
  removed: [],
  duplicates: [],
  unreadable: [],
  kept: [],
  outdated: [],
};

it('adds new groups, due for a read at once, and changes nothing at a restart', async () => {
  const { sync, worker, record, dueOf } = registryRig();
  const groups = [line('a', 1, ', firstSeen: rotate'), line('b', 2, ', firstSeen: wait')];
  expect(await sync(...groups)).toEqual({ ...nothing, added: ['a', 'b'] });
  const [a, b] = [await record('a'), await record('b')];
  expect(a).toMatchObject({ jid: jid(1), adopt: true, dueAt: expect.any(Number), entry: { group: 'a' } });
  expect(b.dueAt! - a.dueAt!).toBeGreaterThan(hourMs - 10_000);
  expect([await dueOf(jid(1)), await dueOf(jid(2))]).toEqual([a.readDueAt, b.readDueAt]);
  expect(await worker().sync(...groups)).toEqual(nothing);
  expect([await record('a'), await record('b')]).toEqual([a, b]);
});

it('spreads the first rotations by default', async () => {
  const { sync, record, store } = registryRig();
  await sync(...[1, 2, 3, 4].map((n) => line(`g${n}`, n)));
  const { nowMs } = await store.load(jid(1));
  const due = await Promise.all([1, 2, 3, 4].map(async (n) => (await record(`g${n}`)).dueAt!));
  expect(new Set(due).size).toBe(4);
  for (const dueAt of due) expect(dueAt - nowMs).toBeLessThanOrEqual(hourMs);
});

it('counts a changed period from the last reset, and writes only the group concerned', async () => {
  const { sync, record, change, redis, keys } = registryRig();
  await sync(line('a', 1), line('b', 2));
  await change('a', { lastResetAt: 1_000_000, dueAt: 1_000_000 + hourMs });
  const versionOfB = await redis.hget(keys.group(jid(2)), 'version');
  expect(await sync(line('a', 1, ', every: 2h'), line('b', 2))).toMatchObject({ added: [], changed: ['a'] });
  expect((await record('a')).dueAt).toBe(1_000_000 + 2 * hourMs);
  expect(await redis.hget(keys.group(jid(2)), 'version')).toBe(versionOfB);
});

it('does not count a read as a reset', async () => {
  const { sync, record, adopt } = registryRig();
  await sync(line('a', 1, ', every: 7d, firstSeen: wait'));
  await adopt('a', 'LIVE');
  const { dueAt } = await record('a');
  await sync(line('a', 1, ', every: 1h, firstSeen: wait'));
  expect(dueAt! - (await record('a')).dueAt!).toBeGreaterThan(6 * 24 * hourMs);
});

describe('an edit of a registered group', () => {
  it('changes the results queues, and no times', async () => {
    const { applyConfig, record, reset, events, redis, keys } = registryRig();
    await applyConfig(configOf([line('a', 1)]));
    await reset('a', 'ONE');
    const { dueAt } = await record('a');
    await applyConfig(configOf([line('a', 1)], 'results: { queues: [site, mirror] }'));
    expect((await record('a')).dueAt).toBe(dueAt);
    await reset('a', 'TWO');
    expect((await events()).map((event) => event.inviteCode)).toEqual(['ONE']);
    for (const queue of ['site', 'mirror']) expect(await redis.llen(keys.outbox(queue))).toBe(1);
  });

  it('counts verification from the last read, by the period in force', async () => {
    const { applyConfig, record, reset, verificationOf } = registryRig();
    const at = async (more: string) => {
      await applyConfig(configOf([line('a', 1)], more));
      return await verificationOf(jid(1));
    };
    await at('verify: off');
    await reset('a', 'ONE');
    const seenAt = (await record('a')).verifiedAt!;
    expect(await verificationOf(jid(1))).toBeNull();
    const part = (at7d: number | null) => (at7d! - seenAt) / (7 * 24 * hourMs);
    const phase = part(await at('verify: { every: 7d }'));
    expect(phase).toBeGreaterThan(0);
    expect(phase).toBeLessThanOrEqual(1);
    expect(await at('verify: { every: 1h }')).toBe(seenAt + Math.floor(hourMs * phase));
    expect(await at('verify: off')).toBeNull();
  });
});

it('clears the schedule of a disabled group, and continues it when the group is enabled', async () => {
  const { sync, record, reset, dueOf, verificationOf } = registryRig();
  const enabled = line('a', 1);
  await sync(enabled);
  await reset('a', 'ONE');
  const { lastResetAt } = await record('a');
  await sync(line('a', 1, ', enabled: false'));
  expect((await record('a')).dueAt).toBeNull();
  expect([await dueOf(jid(1)), await verificationOf(jid(1))]).toEqual([null, null]);
  await sync(enabled);
  expect((await record('a')).dueAt).toBe(lastResetAt! + hourMs);
  expect(await dueOf(jid(1))).toBe(lastResetAt! + hourMs);
});

it('keeps an unsettled attempt of a disabled group in the index', async () => {
  const { sync, begin, unsettledOf, dueOf } = registryRig();
  await sync(line('a', 1));
  const { leaseUntil } = await begin('a');
  await sync(line('a', 1, ', enabled: false'));
  expect([await unsettledOf(jid(1)), await dueOf(jid(1))]).toEqual([leaseUntil, null]);
});

it('moves a group to another instance, with its attempt', async () => {
  const { sync, record, begin, end, reset, dueOf, verificationOf, unsettledOf, events } = registryRig();
  await sync(line('a', 1));
  await reset('a', 'ONE');
  const { dueAt } = await record('a');
  const verifyAt = await verificationOf(jid(1));
  const attempt = await begin('a');
  await sync(line('a', 1, ', instance: bot2'));
  expect([await dueOf(jid(1), 'bot'), await verificationOf(jid(1), 'bot')]).toEqual([null, null]);
  expect([await dueOf(jid(1), 'bot2'), await verificationOf(jid(1), 'bot2')]).toEqual([dueAt, verifyAt]);
  expect(await unsettledOf(jid(1))).toBe(attempt.leaseUntil);
  await end('a', attempt, resetTo('TWO', jid(1)));
  expect((await events()).map((event) => [event.instance, event.inviteCode])).toEqual([
    ['bot', 'ONE'],
    ['bot2', 'TWO'],
  ]);
});

describe('a group that left the file', () => {
  it('has no times but keeps its history, and continues where it was when it returns', async () => {
    const { sync, record, recordOf, reset, dueOf, verificationOf, redis, keys } = registryRig();
    const both = [line('a', 1), line('b', 2)];
    await sync(...both);
    await reset('a', 'ONE');
    const { revision, dueAt } = await record('a');
    expect(await sync(line('b', 2))).toMatchObject({ removed: ['a'] });
    expect((await recordOf(jid(1))).removedAt).not.toBeNull();
    expect([await dueOf(jid(1)), await verificationOf(jid(1))]).toEqual([null, null]);
    expect(await redis.ttl(keys.group(jid(1)))).toBeGreaterThan(29 * 24 * 3600);
    expect(await sync(...both)).toMatchObject({ added: ['a'] });
    expect(await record('a')).toMatchObject({ revision, dueAt, removedAt: null, adopt: false });
    expect(await redis.ttl(keys.group(jid(1)))).toBe(-1);
  });

  it('owes a read when it returns, before any scheduled rotation', async () => {
    const { sync, record, reset, dueOf } = registryRig();
    await sync(line('a', 1), line('b', 2));
    await reset('a', 'ONE');
    await sync(line('b', 2));
    await sync(line('a', 1), line('b', 2));
    const { readDueAt, dueAt } = await record('a');
    expect(readDueAt).toBeLessThan(dueAt!);
    expect(await dueOf(jid(1))).toBe(readDueAt);
  });

  it('keeps its attempt in the index, and gets it back when it returns', async () => {
    const { sync, record, recordOf, begin, reset, unsettledOf, dueOf } = registryRig();
    await sync(line('a', 1), line('b', 2));
    await reset('a', 'ONE');
    const attempt = await begin('a');
    await sync(line('b', 2));
    expect([await unsettledOf(jid(1)), await dueOf(jid(1))]).toEqual([attempt.leaseUntil, null]);
    expect((await recordOf(jid(1))).attempt).toEqual(attempt);
    await sync(line('a', 1), line('b', 2));
    expect(await record('a')).toMatchObject({ attempt: { id: attempt.id }, readDueAt: expect.any(Number) });
    expect(await unsettledOf(jid(1))).toBe(attempt.leaseUntil);
  });

  it('keeps its uncertain call in the index', async () => {
    const { sync, begin, end, reset, unsettledOf, recordOf } = registryRig();
    await sync(line('a', 1), line('b', 2));
    await reset('a', 'ONE');
    const attempt = await begin('a');
    await sync(line('b', 2));
    await end('a', attempt, unknown(false));
    const { uncertain } = await recordOf(jid(1));
    expect(uncertain).not.toBeNull();
    expect(await unsettledOf(jid(1))).toBeGreaterThanOrEqual(uncertain!.readAt);
  });

  it('is forgotten after 30 days', async () => {
    const { sync, registration, redis, keys } = registryRig();
    await sync(line('a', 1), line('b', 2));
    await sync(line('b', 2));
    const known = await registration('a');
    expect(known).toMatchObject({ recordId: jid(1), removedAt: expect.any(Number) });
    const ageMs = 31 * 24 * hourMs;
    await redis.hset(keys.registered, 'a', JSON.stringify({ ...known, removedAt: known!.removedAt! - ageMs }));
    await sync(line('b', 2));
    expect(await registration('a')).toBeNull();
  });
});

it('keeps keys of a newer version in the record and the registration when it registers a group again', async () => {
  const { sync, record, registration, redis, keys } = registryRig();
  await sync(line('a', 1));
  const key = keys.group(jid(1));
  const stored = await record('a');
  const newer = { ...stored, mood: 'good', entry: { ...stored.entry, tags: ['vip'] } };
  await redis.hset(key, 'record', JSON.stringify(newer));
  const known = await registration('a');
  const more = { ...known, since: 7, entry: { ...known!.entry, tags: ['vip'] } };
  await redis.hset(keys.registered, 'a', JSON.stringify(more));
  expect(await sync(line('a', 1))).toEqual(nothing);
  expect(await sync(line('a', 1, ', every: 2h'))).toMatchObject({ changed: ['a'] });
  expect(await record('a')).toMatchObject({
    mood: 'good',
    entry: { tags: ['vip'], schedule: { everyMs: 2 * hourMs } },
  });
  expect(await registration('a')).toMatchObject({ since: 7, entry: { tags: ['vip'] } });
});

it('does not touch a group whose record cannot be read, and registers the others', async () => {
  const { sync, record, redis, keys } = registryRig();
  await redis.hset(keys.group(jid(1)), 'version', 1, 'record', '{');
  const changes = await sync(line('a', 1), line('b', 2));
  expect(changes.unreadable).toEqual([{ group: 'a', reason: expect.stringContaining(keys.group(jid(1))) }]);
  expect((await record('b')).entry?.group).toBe('b');
});
