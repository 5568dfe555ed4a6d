/** Every request gets a link that is newer than it, or a failure of its own, whatever its job id is. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, type JobsOptions, QueueEvents } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { bot, bot2, file, group, started } from '../support/edited.ts';
import { endPostponement } from '../support/postponed.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const vip = file(bot, group('vip', 0));

interface Result {
  readonly status: string;
  readonly inviteCode: string;
}
const resets = (rig: Rig) => rig.standIn.log.of({ endpoint: 'reset', status: 200 });
const ended = (job: Job) =>
  until('the job to end', async () => ((await job.isCompleted()) || (await job.isFailed()) ? job : null));

it('makes one reset for each of six one-offs with reused job ids, before and after an instance is renamed', async () => {
  const { rig, reload } = await started(vip, { instances: ['bot', 'renamed'] });
  await rig.adopted('vip');
  const links = new Set<string>();
  const ask = async (instance: string, jobId: string) => {
    const options = { jobId, removeOnComplete: true, removeOnFail: true };
    const result = (await rig.ask(instance, { group: 'vip' }, 'rotate', options)) as Result;
    expect(result).toMatchObject({ status: 'rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
    links.add(result.inviteCode);
  };
  for (let i = 0; i < 3; i++) await ask('bot', 'leak');
  await reload(file('{ name: renamed, tokenEnv: TOKEN }', group('vip', 0)));
  for (let i = 0; i < 3; i++) await ask('renamed', 'leak');
  expect(resets(rig)).toHaveLength(6);
  expect(links.size).toBe(6);
});

it('answers the first one-offs of a renamed instance with resets of their own', async () => {
  const { rig, reload } = await started(vip, { instances: ['bot', 'renamed'] });
  for (let i = 0; i < 3; i++) await rig.ask('bot', { group: 'vip' });
  await reload(file('{ name: renamed, tokenEnv: TOKEN }', group('vip', 0)));
  for (let i = 0; i < 3; i++) expect(await rig.ask('renamed', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(resets(rig)).toHaveLength(6);
});

it('does not mistake the first jobs of an obliterated queue for old ones', async () => {
  const { rig } = await started(vip);
  for (let i = 0; i < 3; i++) await rig.ask('bot', { group: 'vip' });
  await rig.queue('bot').obliterate({ force: true });
  await sleep(1_200);
  const asked = (await rig.ask('bot', { group: 'vip' })) as Result;
  expect(asked.status).toBe('rotated');
  expect(resets(rig)).toHaveLength(4);
});

it('resets although a job that waits has data that is no JSON', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const queue = rig.queue('bot');
  const hash = { name: 'rotate', opts: '{}', timestamp: Date.now(), delay: 3_600_000, priority: 0 };
  for (const [id, data] of Object.entries({ 'mine-1': '{"group":"vip"', 'mine-2': 'null' })) {
    await rig.redis.hset(queue.toKey(id), { ...hash, data });
    await rig.redis.zadd(queue.toKey('delayed'), (Date.now() + hash.delay) * 0x1000, id);
  }
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(resets(rig)).toHaveLength(1);
});

it.each<[string, (i: number) => JobsOptions]>([
  ['plain', () => ({})],
  ['delayed, prioritized or last-in', (i) => [{ delay: 200 }, { priority: 3 }, { lifo: true }][i % 3]!],
  ['that have ids of their own, like those of flows', () => ({ jobId: randomUUID() })],
  [
    'that have such ids, try again and are removed',
    (i) => ({ jobId: `leak-${i}`, attempts: 3, removeOnComplete: true }),
  ],
])(
  'makes at most two resets for twenty one-offs within a second (%s), and answers each with a newer link',
  async (_how, options) => {
    const { rig } = await started(vip, { latency: { minMs: 20, maxMs: 80 } });
    await rig.adopted('vip');
    const asked = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        await sleep(i * 40);
        const pushedAt = Date.now();
        const data = { group: i % 2 === 0 ? 'vip' : jids[0], requestId: `r${i}` };
        return { pushedAt, result: (await rig.ask('bot', data, 'rotate', options(i))) as Result };
      }),
    );
    expect(resets(rig).length).toBeLessThanOrEqual(2);
    const { history } = rig.standIn.group(jids[0]!);
    for (const { pushedAt, result } of asked) {
      const link = history.find(({ code }) => code === result.inviteCode);
      expect(link!.from).toBeGreaterThanOrEqual(pushedAt - 5);
    }
    expect(asked.filter(({ result }) => result.status === 'rotated')).toHaveLength(resets(rig).length);
  },
);

it('reports each of five failing one-offs with an event of its own', async () => {
  const { rig } = await started(vip, { groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }] });
  await rig.adopted('vip');
  const asked = Array.from({ length: 5 }, (_, i) => rig.ask('bot', { group: 'vip', requestId: `r${i}` }));
  for (const one of asked) await expect(one).rejects.toThrow(/^not_admin: /);
  await until('five events', () => rig.laterOf('vip').length === 5);
  const failed = rig.laterOf('vip');
  expect(new Set(failed.map(({ id }) => id)).size).toBe(5);
  expect(failed.map(({ request }) => request?.requestId).sort()).toEqual(['r0', 'r1', 'r2', 'r3', 'r4']);
  for (const { id } of failed) expect(id).toMatch(/^vip\.\d+\.failed\.[1-5]$/);
});

it('reports one-offs for an unknown group and for a group of another instance', async () => {
  const { rig } = await started(
    file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('other', 1, ', instance: bot2')),
  );
  await rig.adopted('vip', 'other');
  for (const requestId of ['r1', 'r2']) {
    await expect(rig.ask('bot', { group: 'nobody', requestId })).rejects.toThrow(/^unknown group "nobody"/);
    await expect(rig.ask('bot', { group: 'other', requestId })).rejects.toThrow(/belongs to instance "bot2"/);
  }
  await until('two events for each', () => rig.laterOf('nobody').length === 2 && rig.laterOf('other').length === 2);
  for (const name of ['nobody', 'other']) {
    const events = rig.laterOf(name);
    expect(events).toMatchObject([{ type: 'rotation.failed', error: { code: 'invalid_request' } }, {}]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(2);
    expect(events.map(({ request }) => request?.requestId).sort()).toEqual(['r1', 'r2']);
  }
  expect((await rig.record('other')).failure).toBeNull();
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
});

it('starts over when a dashboard retries a one-off, failed or completed', async () => {
  const { rig } = await started(vip, { groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }] });
  await rig.adopted('vip');
  const events = new QueueEvents('rotations-bot', { connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => events.close());
  const failing = await rig.queue('bot').add('rotate', { group: 'vip' });
  await ended(failing);
  expect(await failing.isFailed()).toBe(true);
  rig.standIn.group(jids[0]!).admins.add('bot');
  await (await rig.queue('bot').getJob(failing.id!))!.retry('failed');
  await until(
    'the link',
    async () => (await failing.isCompleted()) && rig.standIn.log.of({ status: 200, endpoint: 'reset' }).length === 1,
  );
  await sleep(1_100);
  await (await rig.queue('bot').getJob(failing.id!))!.retry('completed');
  await until('another link', () => resets(rig).length === 2);
});

it.each([
  ['its attempts', { resetAttemptsMade: true }],
  ['everything', { resetAttemptsMade: true, resetAttemptsStarted: true }],
])('starts over when a one-off is retried with %s reset', async (_what, options) => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const queue = rig.queue('bot');
  // One of these is answered by the reset of the other.
  await queue.pause();
  const jobs = [await queue.add('rotate', { group: 'vip' }), await queue.add('rotate', { group: 'vip' })];
  await queue.resume();
  await Promise.all(jobs.map(ended));
  expect(resets(rig)).toHaveLength(1);
  for (const { id } of [...jobs, ...jobs]) {
    await sleep(1_050);
    const before = resets(rig).length;
    const job = (await queue.getJob(id!))!;
    await job.retry('completed', options);
    await until('it to end again', () => job.isCompleted());
    const { returnvalue } = (await queue.getJob(id!))!;
    expect(returnvalue).toMatchObject({ status: 'rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
    expect(resets(rig)).toHaveLength(before + 1);
  }
});

it('starts over when a failed one-off is retried with its attempts reset', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' }, 4);
  const job = await rig.queue('bot').add('rotate', { group: 'vip' });
  await ended(job);
  expect(await job.isFailed()).toBe(true);
  rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' }, 2);
  await (await rig.queue('bot').getJob(job.id!))!.retry('failed', { resetAttemptsMade: true });
  await until('the link', () => job.isCompleted());
  expect([await rig.later('vip', 0), await rig.later('vip', 1)]).toMatchObject([
    { type: 'rotation.failed' },
    { type: 'link.rotated' },
  ]);
});

it('completes a scheduled job that is queued once more silently', async () => {
  const { rig } = await started(vip, { groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }] });
  await rig.adopted('vip');
  await rig.lapse('vip', 1_000);
  expect(await rig.later('vip')).toMatchObject({ type: 'rotation.failed', reason: 'schedule' });
  const calls = rig.standIn.log.all.length;
  const again = await rig.queue('bot').add('scheduled', { record: jids[0], group: 'vip', dueAt: 1_000 });
  await ended(again);
  expect(await again.isCompleted()).toBe(true);
  expect(rig.standIn.log.all).toHaveLength(calls);
  expect(rig.laterOf('vip')).toHaveLength(1);
});

it('releases a rotation again when its job failed because of an error in the program', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const dueAt = Date.now() - 1_000;
  const key = rig.keys.group(jids[0]!);
  const record = (await rig.redis.hget(key, 'record'))!;
  const damaged = JSON.stringify({ ...JSON.parse(record), jid: 7 });
  await rig.queue('bot').pause();
  await rig.lapse('vip', dueAt);
  await until('the job', async () => (await rig.queue('bot').getJobCountByTypes('prioritized')) > 0);
  const sound = (await rig.redis.hget(key, 'record'))!;
  await rig.redis.hset(key, 'record', damaged);
  await rig.queue('bot').resume();
  await until('the job to fail', () => rig.logged.some(({ event }) => event === 'group.unreadable'));
  await until('it to be gone', async () => (await rig.queue('bot').getJobCountByTypes('prioritized', 'active')) === 0);
  await rig.redis.hset(key, 'record', sound);
  await endPostponement(rig, jids[0]!, dueAt);
  expect(await rig.later('vip')).toMatchObject({ type: 'link.rotated', reason: 'schedule' });
});

it('refuses impossible request times, and ignores those that are far from the push', async () => {
  const { rig } = await started(vip);
  const first = (await rig.ask('bot', { group: 'vip' })) as Result;
  const now = Date.now();
  await expect(rig.ask('bot', { group: 'vip', requestedAt: Math.floor(now / 1000) })).rejects.toThrow(
    /requestedAt: expected milliseconds since 1970/,
  );
  await expect(rig.ask('bot', { group: 'vip', requestedAt: now + 3_600_000 })).rejects.toThrow(
    /requestedAt: is \d+ s in the future/,
  );
  // Each names a group, so each has an event, with what it says of itself as far as that is valid.
  await expect(rig.ask('bot', { group: 'vip', requestId: 'r1', reason: 7 })).rejects.toThrow(/^bad request \(reason/);
  await expect(rig.ask('bot', { group: jids[0], requestId: 'x'.repeat(201), reason: 'why' })).rejects.toThrow(
    'bad request',
  );
  await expect(rig.ask('bot', { group: ['vip'] })).rejects.toThrow(/^bad request \(group/);
  const failed = await until('the events', () => {
    const seen = rig.laterOf('vip').filter(({ type }) => type === 'rotation.failed');
    return seen.length === 4 ? seen : null;
  });
  expect(failed.map(({ request }) => [request?.requestId, request?.reason])).toEqual([
    [null, null],
    [null, null],
    ['r1', null],
    [null, 'why'],
  ]);
  expect(failed.map(({ id }) => id.replace(/^.*\.failed\./, ''))).toEqual(['1', '2', '3', '4']);
  const old = (await rig.ask('bot', { group: 'vip', requestedAt: now - 3_600_000 })) as Result;
  expect(old.status).toBe('rotated');
  expect(old.inviteCode).not.toBe(first.inviteCode);
});

it('treats null like an absent field', async () => {
  const { rig } = await started(vip);
  const data = { group: 'vip', reason: null, requestId: null, requestedBy: null, requestedAt: null };
  expect(await rig.ask('bot', data)).toMatchObject({ status: 'rotated' });
  expect(await rig.later('vip')).toMatchObject({ request: { reason: null, requestId: null, requestedBy: null } });
});

it('does not blame a group for a failure before a call that worked', async () => {
  const limited = '{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 2, per: 3s, reserve: 0 } }';
  const { rig } = await started(file(limited, group('vip', 0, ', enabled: false')), {
    limit: { limit: 2, perMs: 3_000 },
  });
  // The first read is refused, the second one is owed and works, and the reset after it finds no slot.
  rig.standIn.faults.next(
    {
      kind: 'answer',
      status: 404,
      body: { success: false, error: { message: 'Group not found' } },
      effectAfterMs: null,
    },
    { endpoint: 'info' },
  );
  const asked = rig.ask('bot', { group: 'vip' });
  await until('the refusal to be doubted', () => rig.logged.some(({ event }) => event === 'rotation.doubted'));
  // As if its failure had been one of several, and other groups' calls had worked since: it gets a second call.
  await rig.redis.hset(rig.keys.culprits('bot'), jids[0]!, `suspected read ${Date.now() + 60_000}`);
  expect(await asked).toMatchObject({ status: 'rotated' });
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toEqual([]);
});
