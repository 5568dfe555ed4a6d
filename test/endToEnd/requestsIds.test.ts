/** Which one-offs a reset answers, whatever their ids, their times and the count of their queue are. */
import type { Job, JobsOptions } from 'bullmq';
import { expect, it } from 'vitest';
import { bot, file, group, started } from '../support/edited.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const vip = file(bot, group('vip', 0));
const resets = (rig: Rig, n = 0) => rig.standIn.log.of({ endpoint: 'reset', status: 200, jid: jids[n]! }).length;

/** The codes with which the jobs were answered. */
async function answersTo(rig: Rig, jobs: readonly Job[]): Promise<string[]> {
  const codes: string[] = [];
  for (const { id } of jobs) {
    const job = await until(`job ${id}`, async () => {
      const read = await rig.queue('bot').getJob(id!);
      return read?.finishedOn !== undefined && read;
    });
    expect(job.failedReason).toBeUndefined();
    codes.push((job.returnvalue as { inviteCode: string }).inviteCode);
  }
  return codes;
}

const twenty = (data: unknown, options: (i: number) => JobsOptions = () => ({})) =>
  Array.from({ length: 20 }, (_, i) => ({ name: 'rotate', data, opts: options(i) }));

it.each<[string, string, (i: number) => JobsOptions]>([
  ['by a producer whose clock is ahead', 'vip', () => ({ timestamp: Date.now() + 3_600_000 })],
  ['by a producer whose clock is behind', 'vip', () => ({ timestamp: Date.now() - 3_600_000 })],
  ['with ids that look like numbers', 'vip', (i) => ({ jobId: `20251122090000${String(i).padStart(2, '0')}1` })],
  ['with ids that look like those of the planner', 'vip', (i) => ({ jobId: `scheduled.Leak.${i}` })],
  ['by a JID with blanks around it, with ids of their own', ` ${jids[0]} `, (i) => ({ jobId: `leak-${i}` })],
])('makes at most two resets for twenty one-offs pushed at once %s', async (_how, name, options) => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const old = rig.standIn.codeOf(jids[0]!);
  const jobs = await rig.queue('bot').addBulk(twenty({ group: name }, options));
  expect(await answersTo(rig, jobs)).not.toContain(old);
  expect(resets(rig)).toBeLessThanOrEqual(2);
});

it('answers none of twenty one-offs with the link of a reset before their queue was obliterated', async () => {
  const { rig } = await started(vip);
  for (let i = 0; i < 3; i++) await rig.ask('bot', { group: 'vip' });
  const old = rig.standIn.codeOf(jids[0]!);
  const queue = rig.queue('bot');
  await queue.obliterate({ force: true });
  const jobs = await queue.addBulk(twenty({ group: 'vip' }));
  expect(jobs[0]!.id).toBe('1');
  expect(await answersTo(rig, jobs)).not.toContain(old);
  expect(resets(rig)).toBeLessThanOrEqual(5);
});

it.each(['jobId', 'job_id'])(
  'answers no one-off with an older link because its id, chosen with %s, is a number',
  async (option) => {
    const { rig } = await started(vip);
    await rig.adopted('vip');
    const queue = rig.queue('bot');
    const first = await queue.add('rotate', { group: 'vip' });
    const [old] = await answersTo(rig, [first]);
    await first.remove();
    // BullMQ for Node.js refuses such an id, and other languages accept it.
    const again = { name: 'rotate', data: '{"group":"vip"}', opts: JSON.stringify({ [option]: first.id }) };
    await rig.redis.hset(queue.toKey(first.id!), { ...again, timestamp: Date.now(), delay: 0, priority: 0 });
    await rig.redis.lpush(queue.toKey('wait'), first.id!);
    await rig.redis.zadd(queue.toKey('marker'), 0, '0');
    expect(await answersTo(rig, [first])).not.toContain(old);
    expect(resets(rig)).toBe(2);
  },
);

it('makes a reset each time a scheduler of jobs pushes a one-off', async () => {
  const { rig } = await started(vip);
  await rig.adopted('vip');
  const queue = rig.queue('bot');
  await queue.upsertJobScheduler('leaks', { every: 1_000 }, { name: 'rotate', data: { group: 'vip' } });
  await until('three jobs', async () => (await queue.getCompletedCount()) >= 3);
  await queue.removeJobScheduler('leaks');
  const codes = await answersTo(rig, await queue.getCompleted());
  expect(new Set(codes).size).toBe(codes.length);
  expect(resets(rig)).toBeGreaterThanOrEqual(codes.length);
});
