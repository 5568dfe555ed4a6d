/** Records and registrations of version 0.1: named by the group's id, and without its entry. */
import { expect, it } from 'vitest';
import { hourMs, jid, line, registryRig } from './registryRig.ts';

const begunAt = 1_763_802_000_000;
const old = {
  jid: jid(1),
  link: { code: 'ONE', url: 'https://chat.whatsapp.com/ONE' },
  revision: begunAt - hourMs,
  previous: { code: 'ZERO', revision: begunAt - 2 * hourMs },
  reason: 'schedule',
  rotatedAt: begunAt - hourMs,
  resetBegunAt: begunAt - hourMs - 200,
  dueAt: begunAt + 5 * hourMs,
  attempts: 12,
  attempt: null,
  settled: 'a11',
  uncertain: null,
  verificationOwedAt: null,
  verifiedAt: begunAt - hourMs,
  unreadable: 0,
  failure: null,
  duplicateOf: null,
  answered: ['job-1'],
};
const attempt = { id: 'a12', call: 'reset', begunAt, leaseUntil: begunAt + 10_000, request: null };
const uncertain = { begunAt, openUntil: begunAt + 90_000, readAt: begunAt, reads: 1, request: null };

async function leftBehind(over: object = {}, identifier = jid(1)) {
  const rig = registryRig();
  const { redis, keys } = rig;
  const registered = { instance: 'bot', identifier, enabled: true, schedule: '{}' };
  await redis.hset(keys.registered, 'a', JSON.stringify(registered));
  await redis.hset(keys.group('a'), 'version', 7, 'record', JSON.stringify({ ...old, ...over }));
  await redis.zadd(keys.due('bot'), old.dueAt, 'a');
  return rig;
}

it('becomes the record of its JID, with its due time, revision and history', async () => {
  const rig = await leftBehind();
  await rig.sync(line('a', 1));
  const { unreadable: _, ...current } = old;
  expect(await rig.record('a')).toMatchObject({ ...current, entry: { group: 'a' }, adopt: false });
  expect(await rig.registration('a')).toMatchObject({ recordId: jid(1), entry: { group: 'a', instance: 'bot' } });
  expect(await rig.redis.exists(rig.keys.group('a'))).toBe(0);
  expect(await rig.dueOf(jid(1))).toBe(old.dueAt);
  const { record } = await rig.reset('a', 'TWO');
  expect(record.revision).toBeGreaterThan(old.revision);
  expect(await rig.events()).toMatchObject([{ previousInviteCode: 'ONE', previousRevision: old.revision }]);
});

it('keeps the attempt in flight, and settles it', async () => {
  const rig = await leftBehind({ attempt });
  await rig.sync(line('a', 1));
  expect((await rig.record('a')).attempt).toEqual({ ...attempt, covers: null });
  expect(await rig.unsettledOf(jid(1))).toBe(attempt.leaseUntil);
});

it('stays uncertain, and is settled', async () => {
  const rig = await leftBehind({ uncertain, verificationOwedAt: begunAt + 90_000 });
  await rig.sync(line('a', 1));
  expect(await rig.record('a')).toMatchObject({ uncertain: { ...uncertain, failedReads: 0 } });
  expect(await rig.unsettledOf(jid(1))).not.toBeNull();
});

it('counts a period that is edited during the update from the last reset', async () => {
  const rig = await leftBehind({ dueAt: null });
  await rig.sync(line('a', 1, ', every: 2h'));
  expect((await rig.record('a')).dueAt).toBe(old.rotatedAt + 2 * hourMs);
});

it('gets a first read if its link was never published', async () => {
  const rig = await leftBehind({ revision: null, rotatedAt: null, reason: null });
  await rig.sync(line('a', 1));
  expect(await rig.record('a')).toMatchObject({ adopt: true, readDueAt: expect.any(Number), dueAt: old.dueAt });
  await rig.adopt('a', 'ONE');
  expect(await rig.events()).toMatchObject([{ type: 'link.changed', reason: 'adopted', inviteCode: 'ONE' }]);
});

it('keeps the JID of its code through later edits, though the code is dead', async () => {
  const rig = await leftBehind({}, 'CODE00001');
  await rig.sync(line('a', 'CODE00001'));
  expect(await rig.record('a')).toMatchObject({ jid: jid(1), revision: old.revision, dueAt: old.dueAt });
  await rig.sync(line('a', 'CODE00001', ', instance: bot2'));
  expect(await rig.record('a')).toMatchObject({ jid: jid(1), revision: old.revision, dueAt: old.dueAt });
  expect(await rig.registration('a')).toMatchObject({ recordId: jid(1) });
});

it('stays under its id until its code is resolved', async () => {
  const rig = await leftBehind({ jid: null, link: null, revision: null, rotatedAt: null }, 'CODE00001');
  await rig.sync(line('a', 'CODE00001'));
  expect(await rig.record('a')).toMatchObject({ jid: null, adopt: true, dueAt: old.dueAt });
  await rig.resolve('a', jid(1), 'CODE00001');
  expect(await rig.record('a')).toMatchObject({ jid: jid(1), dueAt: old.dueAt });
});

it('is forgotten if the file lacks the group, and may return later', async () => {
  const rig = await leftBehind();
  expect(await rig.sync(line('b', 2))).toMatchObject({ added: ['b'], removed: ['a'] });
  expect(await rig.registration('a')).toBeNull();
  await rig.sync(line('a', 1), line('b', 2));
  expect(await rig.record('a')).toMatchObject({ jid: jid(1), revision: old.revision });
});
