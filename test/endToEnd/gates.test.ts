import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { bucketOf } from '../../src/budget/budget.ts';
import { countJobs } from '../../src/bullmq/counts.ts';
import { redisTime } from '../../src/redis/database.ts';
import { resume } from '../support/gates.ts';
import { jids, makeRig, token } from '../support/rig.ts';
import { until } from '../support/until.ts';

const yaml = (tokenFrom = 'tokenEnv: TOKEN') => `
instances: [{ name: bot, ${tokenFrom} }, { name: bot2, ${tokenFrom} }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: vip, identifier: "${jids[0]}", instance: bot }
  - { id: other, identifier: "${jids[1]}", instance: bot2 }
verify: off`;

const pauses = [
  ['a disconnected number', 'instance_disconnected', 30_000],
  ['a token that is not accepted', 'unauthorized', 30_000],
  ['throttling by WhatsApp', 'throttled', 60_000],
] as const;
it.each(pauses)(
  '%s closes its own gate: the job waits, loses no try, and others continue',
  async (_name, code, firstMs) => {
    const rig = await makeRig({ yaml: yaml() });
    await rig.start();
    await rig.adopted('vip', 'other');
    const calls = () => rig.standIn.log.of({ instance: 'bot' }).length;
    const before = calls();
    if (code === 'instance_disconnected') rig.standIn.setConnection('bot', 'disconnected');
    if (code === 'throttled') rig.standIn.faults.next({ kind: 'throttled' }, { instance: 'bot' });
    if (code === 'unauthorized') rig.standIn.replaceToken(token, 'replaced');
    const waiting = rig.ask('bot', { group: 'vip' });
    const closed = () => rig.logged.find(({ event, instance }) => event === 'gate.closed' && instance === 'bot');
    await until('the gate to close', () => closed() !== undefined);
    expect(closed()).toMatchObject({ reason: code, opensInMs: firstMs });
    if (code === 'unauthorized') rig.standIn.replaceToken('replaced', token);
    else expect(await rig.ask('bot2', { group: 'other' })).toMatchObject({ status: 'rotated' });
    expect(calls() - before).toBe(1);
    expect(rig.laterOf('vip')).toEqual([]);

    await until('the job to wait', async () => (await rig.queue('bot').getWaitingCount()) === 1);
    if (code === 'instance_disconnected') rig.standIn.setConnection('bot', 'connected');
    await resume(rig, 'bot');
    expect(await waiting).toMatchObject({ status: 'rotated' });
    expect(await rig.redis.exists(rig.keys.gate('bot'))).toBe(0);
    const opened = rig.logged.filter(({ event }) => event === 'gate.opened');
    expect(opened).toMatchObject([{ instance: 'bot', reason: code }]);
  },
);

it('does not pause the queue that a group has left for a paused instance', async () => {
  const both = (mover: string) => `
instances: [{ name: bot, tokenEnv: TOKEN }, { name: bot2, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: vip, identifier: "${jids[0]}", instance: bot }
  - { id: other, identifier: "${jids[1]}", instance: bot2 }
  - { id: mover, identifier: "${jids[2]}", instance: ${mover} }
verify: off`;
  const rig = await makeRig({ yaml: both('bot') });
  const service = await rig.start();
  await rig.adopted('vip', 'other', 'mover');
  await rig.queue('bot').pause();
  await rig.lapse('mover', Date.now());
  await until('the scheduled job', async () => (await countJobs(rig.redis, rig.queue('bot'))).waiting === 1);
  // Before the move, after which the planner would release the moved group to the other queue at once.
  rig.standIn.setConnection('bot2', 'disconnected');
  await rig.queue('bot2').add('rotate', { group: 'other' });
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  const pausedUntil = (await redisTime(rig)) + 600_000;
  await rig.redis.hset(rig.keys.gate('bot2'), 'until', pausedUntil);
  rig.edit(both('bot2'));
  service.reload();
  await until('the move', async () => (await rig.record('mover')).entry?.instance === 'bot2');

  await rig.queue('bot').resume();
  const isMover = ({ event, group, why }: (typeof rig.logged)[number]) =>
    event === 'rotation.waits' && group === 'mover' && why === 'gate';
  await until('the moved group to wait', () => rig.logged.some(isMover));
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(await redisTime(rig)).toBeLessThan(pausedUntil);
});

it('serves one-offs on the queue of a paused instance once their group has moved to another', async () => {
  const both = (mover: string) => `
instances: [{ name: bot, tokenEnv: TOKEN }, { name: bot2, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: vip, identifier: "${jids[0]}", instance: bot }
  - { id: mover, identifier: "${jids[2]}", instance: ${mover} }
verify: off`;
  const rig = await makeRig({ yaml: both('bot') });
  const service = await rig.start();
  await rig.adopted('vip', 'mover');
  // A group that cannot be read is on the queue as well, and is nobody else's problem.
  await rig.redis.hset(rig.keys.group(jids[3]!), 'record', '{"jid":7}', 'version', '1');
  await rig.queue('bot').add('rotate', { group: jids[3] }, { delay: 3_600_000 });
  rig.standIn.setConnection('bot', 'disconnected');
  // The paused instance's own job is the first of the queue, and comes back there.
  const own = rig.ask('bot', { group: 'vip' });
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  const pausedUntil = Number(await rig.redis.hget(rig.keys.gate('bot'), 'until'));
  const moved = Array.from({ length: 7 }, () => rig.ask('bot', { group: 'mover' }));
  rig.edit(both('bot2'));
  service.reload();
  for (const one of await Promise.all(moved)) {
    expect(one).toMatchObject({ group: 'mover', inviteCode: rig.standIn.codeOf(jids[2]!) });
  }
  expect(await redisTime(rig)).toBeLessThan(pausedUntil);
  expect(rig.standIn.log.of({ endpoint: 'reset', instance: 'bot2' })).toHaveLength(1);
  expect(rig.standIn.log.of({ endpoint: 'reset', instance: 'bot' })).toHaveLength(1);
  rig.standIn.setConnection('bot', 'connected');
  await rig.redis.hset(rig.keys.gate('bot'), 'until', 1);
  await rig.queue('bot').promoteJobs();
  expect(await own).toMatchObject({ status: 'rotated', group: 'vip' });
});

it('reads a token file again after a 401 before it closes the gate', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-gates-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'token');
  writeFileSync(path, `${token}\n`);
  const rig = await makeRig({ yaml: yaml(`tokenFile: "${path}"`) });
  await rig.start();
  await rig.adopted('vip', 'other');
  rig.standIn.replaceToken(token, 'the-next-token');
  writeFileSync(path, 'the-next-token\n');
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(rig.standIn.log.of({ instance: 'bot' }).map(({ status }) => status)).toEqual([200, 401, 200]);
  expect(rig.logged.map(({ event }) => event)).not.toContain('gate.closed');
});

it('waits until the limit is reset after its 429, and loses no job', async () => {
  const rig = await makeRig({ yaml: yaml(), standIn: { limit: { perMs: 1_500, limit: 5 } } });
  await rig.start();
  await rig.adopted('vip', 'other');
  await rig.redis.del(rig.keys.bucket(bucketOf(token)));
  rig.standIn.useToken(token, 5);
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(rig.standIn.log.of({ instance: 'bot' }).map(({ status }) => status)).toEqual([200, 429, 200]);
});

it('stays within a limit that is lower than the file says', async () => {
  const groups = Array.from({ length: 8 }, (_, i) => `  - { id: g${i}, identifier: "${jids[i]}", every: 1h }`).join(
    '\n',
  );
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 100, per: 1s } }]
defaults: { firstSeen: rotate }
groups:
${groups}
verify: off`,
    standIn: { limit: { perMs: 1_000, limit: 3 }, latency: { minMs: 5, maxMs: 40 } },
  });
  await rig.start();
  await until('all eight', () => rig.standIn.log.of({ endpoint: 'reset', status: 200 }).length === 8);
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
  expect(rig.standIn.log.maxInAnyWindow(token, 1_000)).toBeLessThanOrEqual(3);
});

it('reports a second entry for one WhatsApp group once, and keeps serving the first', async () => {
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h }
groups:
  - { id: first, identifier: "${jids[0]}", firstSeen: wait }
  - { id: second, identifier: CODE23456789012345 }
verify: off`,
    standIn: { groups: [{ jid: jids[0]!, code: 'CODE23456789012345' }] },
  });
  await rig.start();
  expect(await rig.later('second')).toMatchObject({
    type: 'rotation.failed',
    error: { code: 'invalid_request', message: expect.stringContaining('the same WhatsApp group as "first"') },
  });
  expect(await rig.ask('bot', { group: 'first' })).toMatchObject({ status: 'rotated' });
  await expect(rig.ask('bot', { group: 'second' })).rejects.toThrow(/the same WhatsApp group as "first"/);
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
});

const five = `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
${[0, 1, 2, 3, 4].map((i) => `  - { id: g${i}, identifier: "${jids[i]}" }`).join('\n')}
verify: off`;

it('suspects the instance when several groups fail in a row, and blames no group before a second call', async () => {
  const rig = await makeRig({ yaml: five });
  await rig.start();
  await rig.adopted('g0', 'g1', 'g2', 'g3', 'g4');
  // A problem of WhatsApp, reported as if the groups were gone.
  for (const i of [0, 1, 2]) rig.standIn.group(jids[i]!).members.delete('bot');
  const asked = [0, 1, 2].map((i) => rig.ask('bot', { group: `g${i}` }));
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  expect(rig.logged.find(({ event }) => event === 'gate.closed')).toMatchObject({ reason: 'suspected' });
  for (const i of [0, 1]) rig.standIn.group(jids[i]!).members.add('bot');

  await resume(rig, 'bot');
  const [first, second, third] = await Promise.allSettled(asked);
  expect(first).toMatchObject({ value: { status: 'rotated' } });
  expect(second).toMatchObject({ value: { status: 'rotated' } });
  expect(String(third?.status === 'rejected' && third.reason)).toContain('group_not_found');
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[2]! })).toHaveLength(2);
  await rig.later('g2');
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toHaveLength(1);
});

it('blames groups that fail while others work', async () => {
  const rig = await makeRig({ yaml: five });
  await rig.start();
  await rig.adopted('g0', 'g1', 'g2', 'g3', 'g4');
  for (const i of [0, 2, 4]) rig.standIn.group(jids[i]!).members.delete('bot');
  for (let i = 0; i < 5; i++) {
    const asked = rig.ask('bot', { group: `g${i}` });
    if (i % 2 === 0) await expect(asked).rejects.toThrow('group_not_found');
    else expect(await asked).toMatchObject({ status: 'rotated' });
  }
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(5);
  expect(rig.logged.map(({ event }) => event)).not.toContain('gate.closed');
});

it('blames no group for a phone that was disconnected and reconnected', async () => {
  const rig = await makeRig({ yaml: five });
  await rig.start();
  const ids = ['g0', 'g1', 'g2', 'g3', 'g4'];
  await rig.adopted(...ids);
  rig.standIn.setConnection('bot', 'disconnected');
  const asked = ids.map((group) => rig.ask('bot', { group }));
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  await until('all to wait', async () => (await rig.queue('bot').getWaitingCount()) === ids.length);
  rig.standIn.setConnection('bot', 'connected');
  await resume(rig, 'bot');
  for (const one of await Promise.all(asked)) expect(one).toMatchObject({ status: 'rotated' });
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toEqual([]);
  expect(rig.logged.filter(({ event }) => event === 'gate.closed')).toHaveLength(1);
  expect(await rig.redis.exists(rig.keys.culprits('bot'))).toBe(0);
});
