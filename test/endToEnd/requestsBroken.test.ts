/** Jobs that no producer should push: each fails with a reason, or is served, and none delays its neighbours. */
import { FlowProducer, type Job, type JobsOptions } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { readOneOffs } from '../../src/status/oneOffs.ts';
import { bot, file, group, started } from '../support/edited.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const vip = file(bot, group('vip', 0));
const sound = { name: 'rotate', data: '{"group":"vip"}', opts: '{}', delay: 0, priority: 0 };

/** Writes jobs into Redis as no client of BullMQ does. Null: only the id is on the queue. */
async function pushRaw(rig: Rig, jobs: Readonly<Record<string, Record<string, string> | null>>): Promise<void> {
  const queue = rig.queue('bot');
  for (const [id, over] of Object.entries(jobs)) {
    if (over !== null) await rig.redis.hset(queue.toKey(id), { ...sound, timestamp: Date.now(), ...over });
    await rig.redis.lpush(queue.toKey('wait'), id);
  }
}

const stateOf = (rig: Rig, id: string) => rig.redis.hgetall(rig.queue('bot').toKey(id));

it('fails each broken job with a reason, and answers the request behind twelve of them', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const queue = rig.queue('bot');
  await queue.pause();
  const cut = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`cut-${i}`, { data: '{"group":"vip"' }]));
  await pushRaw(rig, { ...cut, null: { data: 'null' }, list: { data: '[]' }, text: { data: '"vip"' }, gone: null });
  await pushRaw(rig, { options: { opts: '{"attempts"' }, progress: { progress: '{x' }, name: { name: 'rotation' } });
  const asked = rig.ask('bot', { group: 'vip' });
  await until('the request', async () => (await queue.getWaitingCount()) === 20);
  await queue.resume();
  expect(await asked).toMatchObject({ group: 'vip' });
  await until('every job to end', async () => {
    const { failed = 0, completed = 0 } = await queue.getJobCounts('failed', 'completed');
    return failed === 17 && completed === 3;
  });
  for (const id of ['cut-0', 'cut-11'])
    expect((await stateOf(rig, id)).failedReason).toMatch(/^bad request \(data: is not JSON\): expected/);
  for (const id of ['null', 'list', 'text'])
    expect((await stateOf(rig, id)).failedReason).toMatch(/^bad request \(data: .*expected object/);
  expect((await stateOf(rig, 'gone')).failedReason).toBe('no job name: expected "rotate"');
  expect((await stateOf(rig, 'name')).failedReason).toBe('unknown job name "rotation": expected "rotate"');
  for (const id of ['options', 'progress']) expect((await stateOf(rig, id)).returnvalue).toContain('"group":"vip"');
  expect(rig.laterOf('vip').filter(({ type }) => type === 'rotation.failed')).toEqual([]);
});

it('lists the one-offs beside a job that cannot be read', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  await rig.queue('bot').pause();
  await pushRaw(rig, { cut: { data: '{"group":"vip"' }, gone: null, options: { opts: 'null' } });
  await rig.queue('bot').add('rotate', { group: 'vip', requestedBy: 'me' });
  await rig.queue('bot').add('rotate', { group: 'vip', requestedBy: 'last' }, { priority: 3, timestamp: 9e15 });
  const { oneOffs } = await readOneOffs(rig, { group: 'vip', instance: 'bot' });
  expect(oneOffs).toMatchObject([
    { state: 'waiting', requestedBy: 'me', pushedAt: expect.any(String) },
    { state: 'waiting', requestedBy: 'last', pushedAt: null },
  ]);
});

it('answers one-offs without a time, and does not take one with a reused id for the one before', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const queue = rig.queue('bot');
  const push = async (id: string) => {
    await pushRaw(rig, { [id]: { opts: '{"removeOnComplete":true}', timestamp: '' } });
    await rig.redis.zadd(queue.toKey('marker'), 0, '0');
  };
  for (const made of [1, 2]) {
    await push('leak');
    await until('a reset', () => rig.laterOf('vip').length === made);
    await until('the job to be gone', async () => (await rig.redis.exists(queue.toKey('leak'))) === 0);
  }
  await queue.pause();
  const jobs = await queue.addBulk(Array.from({ length: 10 }, () => ({ name: 'rotate', data: { group: 'vip' } })));
  for (const { id } of jobs) await rig.redis.hdel(queue.toKey(id!), 'timestamp');
  await queue.resume();
  await until('all to be answered', async () => (await queue.getCompletedCount()) === jobs.length);
  expect(rig.laterOf('vip').length).toBeLessThanOrEqual(4);
});

it('does not fail a one-off for the trouble of the group that it named before a dashboard changed its data', async () => {
  const { rig } = await started(file(bot, group('vip', 0), group('b', 1)), {
    groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }, { jid: jids[1]! }],
  });
  await rig.adopted('vip', 'b');
  const queue = rig.queue('bot');
  const { id } = await queue.add('rotate', { group: rig.standIn.linkOf(jids[0]!) });
  const job = await until('the doubted refusal to be noted', async () => {
    const read = (await queue.getJob(id!))!;
    return (read.progress as { doubted?: object | null }).doubted ? read : null;
  });
  // BullMQ publishes it.
  expect(JSON.stringify(job.progress)).not.toContain(rig.standIn.codeOf(jids[0]!));
  await job.updateData({ group: 'b' });
  expect(await rig.later('b')).toMatchObject({ type: 'link.rotated', reason: 'request' });
  expect(rig.laterOf('vip')).toEqual([]);
});

it('reports a one-off that fails because another job of its flow has failed', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const flows = new FlowProducer({ connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => flows.close());
  const queueName = 'rotations-bot';
  const child = { name: 'rotate', queueName, data: { group: 'nobody' }, opts: { failParentOnFailure: true } };
  const { job }: { job: Job } = await flows.add({
    name: 'rotate',
    queueName,
    data: { group: 'vip', requestId: 'r1' },
    children: [child],
  });
  expect(await rig.later('vip')).toMatchObject({ type: 'rotation.failed', request: { requestId: 'r1' } });
  await until('it to fail', () => job.isFailed());
  expect((await rig.queue('bot').getJob(job.id!))!.failedReason).toMatch(/^child .* failed$/);
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
});

it('makes no reset for a one-off that other jobs of its flow keep from being completed', async () => {
  const { rig } = await started(file(bot, group('vip', 0), group('b', 1)));
  await rig.adopted('vip', 'b');
  const flows = new FlowProducer({ connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => flows.close());
  const one = (name: string, opts: JobsOptions = {}) => {
    return { name: 'rotate', queueName: 'rotations-bot', data: { group: name, requestId: name }, opts };
  };
  const resets = (n: number) => rig.standIn.log.of({ endpoint: 'reset', jid: jids[n]! }).length;

  // BullMQ takes this one when a child fails, although another child has not ended.
  const sibling = one('b', { delay: 300 });
  const early = await flows.add({
    ...one('vip'),
    children: [one('nobody', { continueParentOnFailure: true }), sibling],
  });
  await until('it to end', async () => (await early.job.isFailed()) || (await early.job.isCompleted()));
  expect(await early.job.getState()).toBe('completed');
  expect([resets(0), resets(1)]).toEqual([1, 1]);

  const { job, children } = await flows.add({
    ...one('vip'),
    children: [one('nobody', { failParentOnFailure: true })],
  });
  const failures = () =>
    rig.laterOf('vip').flatMap((event) => (event.type === 'rotation.failed' ? [event.error.message] : []));
  await until('it to fail', () => failures().length === 1 && job.isFailed());
  await job.retry('failed');
  await until('it to fail again', () => failures().length === 2 && job.isFailed());
  expect(failures()[1]).toBe('another job of its flow has failed: retry that one first');
  expect(resets(0)).toBe(1);
  const child = children![0]!.job;
  await child.updateData({ group: 'b' });
  await child.retry('failed');
  await until('the child to end', () => child.isCompleted());
  await job.retry('failed');
  await until('it to be completed', () => job.isCompleted());
  expect(resets(0)).toBe(2);
});
