/** One-offs on the queues of instances that were renamed, removed, or are only in another worker's file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createRotationClient } from '../../src/client/client.ts';
import { bot, bot2, file, group, started } from '../support/edited.ts';
import { resume } from '../support/gates.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const old = '{ name: old, tokenEnv: TOKEN }';
const standIn = { instances: ['bot', 'bot2', 'old'] };
const resets = (rig: Rig, n: number) => rig.standIn.log.of({ endpoint: 'reset', jid: jids[n]! });
const failureOf = (asked: Promise<unknown>) =>
  asked.then(
    () => '',
    (error: Error) => error.message,
  );

it('answers one-offs on the queue of an instance that was renamed', async () => {
  const { rig, service } = await started(file(old, group('vip', 0), group('other', 1)), standIn);
  await rig.adopted('vip', 'other');
  await service.close();
  const request = { requestId: 'r-1', requestedBy: 'moderator', reason: 'leaked' };
  const first = rig.ask('old', { group: 'vip', ...request });
  // From a raw producer without a timestamp: the same reset answers it.
  const second = rig.ask('old', { group: jids[0] });
  const third = rig.ask('old', { group: 'other' });
  await until('the jobs', async () => (await rig.queue('old').getWaitingCount()) === 3);
  rig.edit(file(bot, group('vip', 0), group('other', 1)));
  await rig.start();
  const results = (await Promise.all([first, second])) as { status: string; inviteCode: string }[];
  expect(results.map(({ status }) => status).sort()).toEqual(['rotated', 'satisfied']);
  for (const { inviteCode } of results) expect(inviteCode).toBe(rig.standIn.codeOf(jids[0]!));
  expect(await third).toMatchObject({ status: 'rotated', group: 'other' });
  expect(resets(rig, 0).map(({ instance }) => instance)).toEqual(['bot']);
  const made = await rig.later('vip');
  expect(made).toMatchObject({ instance: 'bot', reason: 'request' });
  expect(rig.logged.filter(({ event }) => event === 'queue.leftover')).toHaveLength(1);
});

it('resolves client.rotate() while the instance is being renamed', async () => {
  const { rig, reload } = await started(file(old, group('vip', 0)), standIn);
  await rig.adopted('vip');
  const client = createRotationClient({ connection: rig.redis, prefix: rig.prefix });
  try {
    rig.standIn.setConnection('old', 'disconnected');
    const before = client.rotate('vip');
    await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
    const reloaded = reload(file(bot, group('vip', 0)));
    const during = client.rotate('vip');
    await reloaded;
    const after = client.rotate('vip');
    for (const result of await Promise.all([before, during, after])) {
      expect(result).toMatchObject({ group: 'vip', inviteCode: rig.standIn.codeOf(jids[0]!) });
    }
  } finally {
    await client.close();
  }
});

it('answers a one-off that waits while its group moves to another instance', async () => {
  const { rig, reload } = await started(file(`${old}, ${bot}`, group('vip', 0, ', instance: old')), standIn);
  await rig.adopted('vip');
  rig.standIn.setConnection('old', 'disconnected');
  const asked = rig.ask('old', { group: 'vip' });
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  await reload(file(`${old}, ${bot}`, group('vip', 0, ', instance: bot')));
  await resume(rig, 'old');
  expect(await asked).toMatchObject({ status: 'rotated' });
  expect(resets(rig, 0).at(-1)).toMatchObject({ instance: 'bot', status: 200 });
});

it('fails the jobs on the queue of an instance without an owner, each with an event of its own', async () => {
  const { rig, reload } = await started(
    file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('gone', 1, ', instance: bot2')),
  );
  await rig.adopted('vip', 'gone');
  await reload(file(bot, group('vip', 0)));
  const asked = ['r-1', 'r-2'].map((requestId) => failureOf(rig.ask('bot2', { group: 'gone', requestId })));
  const unknown = failureOf(rig.ask('bot2', { group: 'never', requestId: 'r-3' }));
  const bad = failureOf(rig.ask('bot2', { grupo: 'vip' }));
  const released = rig.ask('bot2', { record: jids[1], group: 'gone', dueAt: 1 }, 'scheduled');
  const read = rig.ask('bot2', { record: jids[1], group: 'gone' }, 'verify');
  for (const failed of asked) expect(await failed).toContain('unknown group "gone"');
  expect(await unknown).toContain('unknown group "never"');
  expect(await bad).toContain('bad request');
  expect([await released, await read]).toEqual([null, null]);
  const told = () => rig.events.filter(({ type }) => type === 'rotation.failed');
  await until('the events', () => told().length === 3);
  expect(new Set(told().map(({ id }) => id)).size).toBe(3);
  expect(
    told()
      .map(({ request }) => request?.requestId)
      .sort(),
  ).toEqual(['r-1', 'r-2', 'r-3']);
  expect(resets(rig, 1)).toEqual([]);
});

it('leaves the queue of an instance to the other worker whose file has it', async () => {
  const { rig } = await started(file(bot, group('vip', 0)));
  const other = await rig.startOther(file(bot2, group('far', 1)));
  // Longer than the wait for an instance that was in this worker's file.
  await sleep(10_000);
  for (let i = 0; i < 3; i++) expect(await rig.ask('bot2', { group: 'far' })).toMatchObject({ status: 'rotated' });
  expect(await failureOf(rig.ask('bot2', { group: 'never' }))).toContain('unknown group');
  expect(rig.logged.filter(({ event }) => event === 'queue.leftover')).toEqual([]);
  await other.service.close();
});

it('never fails a one-off because of an older file when its group has moved to another instance', async () => {
  const { rig, reload } = await started(file(`${old}, ${bot}`, group('vip', 0, ', instance: old')), standIn);
  await rig.startOther(file(old, group('vip', 0)));
  await rig.adopted('vip');
  await reload(file(bot, group('vip', 0)));
  // Whichever worker takes it, although the older one still serves that queue.
  const answers = await Promise.all(Array.from({ length: 6 }, () => rig.ask('old', { group: 'vip' })));
  for (const answer of answers) expect(answer).toMatchObject({ inviteCode: rig.standIn.codeOf(jids[0]!) });
  expect(resets(rig, 0).map(({ instance }) => instance)).not.toContain('old');
});

it('reads its file before it refuses a group that was added a moment ago', async () => {
  const { rig } = await started(file(bot, group('vip', 0)));
  await rig.adopted('vip');
  rig.edit(file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('new', 1, ', instance: bot')));
  expect(await rig.ask('bot', { group: 'new' })).toMatchObject({ status: 'rotated' });
  expect(await failureOf(rig.ask('bot', { group: 'never' }))).toContain('unknown group');
});

it('remembers the instances of older versions, and forgets those whose queue is empty for long', async () => {
  const { rig, service } = await started(file(bot, group('vip', 0)));
  await rig.adopted('vip');
  await service.close();
  await rig.redis.del(rig.keys.instances);
  await rig.redis.hset(rig.keys.buckets, 'bot2', 'abc');
  const asked = rig.ask('bot2', { group: 'vip' });
  await rig.start();
  expect(await asked).toMatchObject({ status: 'rotated' });
  await rig.redis.sadd(rig.keys.gates, 'bot2');
  const monthAgo = Date.now() - 31 * 24 * 3_600_000;
  await rig.redis.zadd(rig.keys.instances, monthAgo, 'bot2');
  await until('it to be forgotten', async () => (await rig.redis.zscore(rig.keys.instances, 'bot2')) === null);
  expect(await rig.redis.hexists(rig.keys.buckets, 'bot2')).toBe(0);
  expect(await rig.redis.sismember(rig.keys.gates, 'bot2')).toBe(0);
  expect(await rig.redis.zscore(rig.keys.instances, 'bot')).not.toBeNull();
});
