import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { createRotationClient, type RotationClientOptions, RotationError } from '../../src/index.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN }, { name: bot2, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: vip, identifier: "${jids[0]}", instance: bot }
  - { id: other, identifier: "${jids[1]}", instance: bot2 }
verify: off`;

function clientOf({ url, prefix }: Rig, options: Partial<RotationClientOptions> = {}) {
  const client = createRotationClient({ connection: url, prefix, ...options });
  onTestFinished(() => client.close());
  return client;
}

it('rotates and waits for the link, whichever instance serves the group', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  const client = clientOf(rig);
  const link = await client.rotate('vip', { reason: 'leaked', requestId: 'r-1', requestedBy: 'a test' });
  expect(link).toMatchObject({ status: 'rotated', group: 'vip', inviteCode: rig.standIn.codeOf(jids[0]!) });
  expect(await rig.later('vip')).toMatchObject({
    request: { reason: 'leaked', requestId: 'r-1', requestedBy: 'a test' },
  });
  expect(await client.rotate(jids[1]!)).toMatchObject({ group: 'other', inviteCode: rig.standIn.codeOf(jids[1]!) });
});

it('requests a rotation without waiting, and returns where the request is queued', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  const client = clientOf(rig);
  const requested = await client.request('vip');
  expect(requested).toMatchObject({ group: 'vip', instance: 'bot', requestId: expect.any(String) });
  expect(await rig.later('vip')).toMatchObject({ request: { requestId: requested.requestId } });
  expect(await (await rig.queue('bot').getJob(requested.jobId))?.getState()).toBe('completed');
});

it('answers many simultaneous requests with one reset', async () => {
  const rig = await makeRig({ yaml, standIn: { latency: { minMs: 200, maxMs: 200 } } });
  await rig.start();
  const client = clientOf(rig);
  const links = await Promise.all(Array.from({ length: 20 }, () => client.rotate('vip')));
  expect(new Set(links.map(({ inviteCode }) => inviteCode)).size).toBe(1);
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
});

it('returns the current link, or null before the first one', async () => {
  const rig = await makeRig({ yaml });
  rig.standIn.faults.next({ kind: 'slow', ms: 2_000 }, { endpoint: 'info' });
  await rig.start();
  const client = clientOf(rig);
  expect(await client.current('vip')).toBeNull();
  const { revision } = await client.rotate('vip');
  expect(await client.current('vip')).toEqual({
    group: 'vip',
    jid: jids[0],
    inviteCode: rig.standIn.codeOf(jids[0]!),
    inviteLink: `https://chat.whatsapp.com/${rig.standIn.codeOf(jids[0]!)}`,
    revision,
    rotatedAt: new Date(revision).toISOString(),
    nextRotationAt: new Date(revision + 3_600_000).toISOString(),
    uncertain: false,
  });
});

it("rejects with the contract's code when the worker gives up", async () => {
  const rig = await makeRig({
    yaml,
    standIn: { groups: [{ jid: jids[0]!, members: ['bot'], admins: [] }, { jid: jids[1]! }] },
  });
  await rig.start();
  const failure = await clientOf(rig)
    .rotate('vip')
    .catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(RotationError);
  expect(failure).toMatchObject({ name: 'RotationError', code: 'not_admin' });
});

it('says what to do if no worker has registered, or if the group is unknown', async () => {
  const rig = await makeRig({ yaml });
  const client = clientOf(rig);
  await expect(client.rotate('vip')).rejects.toThrow(/no worker has registered .* start invite-rotator/);
  await rig.start();
  await expect(client.request('vipp')).rejects.toThrow('unknown group "vipp": it is not in any worker');
  await expect(client.request('vipp')).rejects.toMatchObject({ code: 'invalid_request' });
  await expect(client.current('vipp')).rejects.toThrow('did you mean "vip"?');
  await expect(client.request('vip', { reason: 'x'.repeat(501) })).rejects.toThrow('reason: ');
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
});

it('stops waiting after the given time, and the request stays queued', async () => {
  const rig = await makeRig({ yaml });
  const service = await rig.start();
  await service.close();
  const client = clientOf(rig);
  // Redis must accept the request by then.
  await expect(client.rotate('vip', { timeoutMs: 2_000 })).rejects.toMatchObject({
    code: 'timeout',
    message: 'no link for vip within 2000 ms; the request stays queued',
  });
  expect(await rig.queue('bot').getWaitingCount()).toBe(1);
});

it('keeps waiting when its connection is cut, and does not close a given client', async () => {
  const rig = await makeRig({ yaml, standIn: { latency: { minMs: 400, maxMs: 400 } } });
  await rig.start();
  const proxy = await createFaultProxy(Number(new URL(rig.url).port));
  const redis = new Redis({ port: proxy.port, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await proxy.close();
  });
  const client = createRotationClient({ connection: redis, prefix: rig.prefix });
  const link = client.rotate('vip');
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset' }).length === 1);
  proxy.cut();
  expect(await link).toMatchObject({ status: 'rotated' });
  await client.close();
  expect(await redis.ping()).toBe('PONG');
});

it('finds the answer in the record of the group if the job and its events are gone', async () => {
  const rig = await makeRig({ yaml, standIn: { latency: { minMs: 400, maxMs: 400 } } });
  await rig.start();
  await rig.adopted('vip');
  const proxy = await createFaultProxy(Number(new URL(rig.url).port));
  onTestFinished(() => proxy.close());
  const client = clientOf(rig, { connection: `redis://127.0.0.1:${proxy.port}` });
  const link = client.rotate('vip');
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset' }).length === 1);
  await proxy.refuse();
  await until('it to be answered', async () => (await rig.queue('bot').getCompletedCount()) === 1);
  await rig.queue('bot').obliterate({ force: true });
  await proxy.heal();
  expect(await link).toMatchObject({ status: 'satisfied', inviteCode: rig.standIn.codeOf(jids[0]!) });
});
