/** Callers that wait for a link that cannot come are notified within seconds, and never get another group's link. */
import { expect, it, onTestFinished } from 'vitest';
import { createGroupStore } from '../../src/groups/store.ts';
import { RotationError } from '../../src/index.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { entry, settled } from '../rotation/samples.ts';
import { until } from '../support/until.ts';
import { queueName, resultOf, startProducerRig } from './producerRig.ts';

const groups = ['g1', 'g2', 'g3'];

async function startRig() {
  const rig = await startProducerRig({ groups });
  await rig.register();
  const client = rig.client();
  /** Waits for a rotation of each group; resolves with the results. */
  const ask = async () => {
    const ends = Promise.allSettled(groups.map((group) => client.rotate(group)));
    await until('the requests', async () => (await rig.queue.getWaitingCount()) === groups.length);
    return { ends: ends.then((all) => all.map((end) => (end.status === 'rejected' ? end.reason : end.value))) };
  };
  return { ...rig, client, ask };
}

const codes = (ends: readonly unknown[]) => ends.map((end) => (end instanceof RotationError ? end.code : end));

it('a job that was removed', async () => {
  const { queue, ask } = await startRig();
  const { ends } = await ask();
  for (const job of await queue.getWaiting()) await job.remove();
  expect(codes(await ends)).toEqual(['removed', 'removed', 'removed']);
});

it.each([
  ['before it, by a clock that was set back since', 4, 'removed'],
  ['after it, whatever the clock showed', 5, 'satisfied'],
])('a job that was removed, where the last reset began %s', async (_when, attempt, end) => {
  const { redis, queue, ask } = await startRig();
  const store = createGroupStore(createDatabase(redis, 'bull'));
  const note = async (attempts: number, byMs: number) => {
    for (const group of groups) {
      const resetCovers = { queue: queueName, lastJob: 0, attempt: attempts };
      const reset = { attempts, resetBegunAt: Date.now() + byMs, resetCovers };
      await store.update(group, () => {
        return { record: { ...settled, entry: { ...entry, group }, ...reset }, result: undefined };
      });
    }
  };
  await note(4, 3_600_000);
  const { ends } = await ask();
  if (attempt > 4) await note(attempt, -3_600_000);
  for (const job of await queue.getWaiting()) await job.remove();
  expect(codes(await ends).map((one) => (one as { status?: string }).status ?? one)).toEqual([end, end, end]);
});

it('a queue that was drained', async () => {
  const { queue, ask } = await startRig();
  const { ends } = await ask();
  await queue.drain();
  expect(codes(await ends)).toEqual(['removed', 'removed', 'removed']);
});

it('a queue that was obliterated', async () => {
  const { queue, ask } = await startRig();
  const { ends } = await ask();
  await queue.obliterate({ force: true });
  expect(codes(await ends)).toEqual(['removed', 'removed', 'removed']);
});

it('a Redis that was emptied, so that jobs are numbered from 1 again', async () => {
  const { redis, queue, client, ask, register, answer } = await startRig();
  const { ends } = await ask();
  await redis.flushall();
  await register();
  // Numbered from 1 again, and answered at once.
  await answer();
  for (const group of ['g3', 'g2', 'g1']) await queue.add('rotate', { group });
  expect(codes(await ends)).toEqual(['removed', 'removed', 'removed']);
  expect(await client.rotate('g1')).toEqual(resultOf('g1'));
});

it('a queue that was paused, and the request stays queued', async () => {
  const { queue, client, ask } = await startRig();
  const { ends } = await ask();
  await queue.pause();
  const reasons = await ends;
  expect(codes(reasons)).toEqual(['paused', 'paused', 'paused']);
  expect(reasons[0].message).toBe(`${queueName} is paused: resume it; the request stays queued`);
  await expect(client.rotate('g1')).rejects.toMatchObject({ code: 'paused' });
  expect(await queue.getWaitingCount()).toBe(4);
});

it('a job that is processed while its queue is paused still returns its link', async () => {
  const { queue, client, answer } = await startRig();
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let begun = false;
  await answer(async ({ data }) => {
    begun = true;
    await released;
    return resultOf(data.group);
  });
  const link = client.rotate('g1', { timeoutMs: 30_000 });
  await until('it to begin', () => begun);
  await queue.pause();
  // Long enough for the library to have looked at the queue.
  const looked = setTimeout(release, 4_000);
  onTestFinished(() => clearTimeout(looked));
  expect(await link).toEqual(resultOf('g1'));
});

it('a worker that returns the link of another group', async () => {
  const { client, answer } = await startRig();
  await answer(() => resultOf('g2'));
  await expect(client.rotate('g1')).rejects.toMatchObject({ code: 'internal' });
});

it('a job that is removed on completion still returns its link', async () => {
  const { client, queue, redis, answer } = await startRig();
  await answer((job) => {
    job.opts.removeOnComplete = true;
    return resultOf(job.data.group);
  });
  for (const group of groups) expect(await client.rotate(group)).toEqual(resultOf(group));
  expect(await queue.getCompletedCount()).toBe(0);
  expect(await redis.exists(`bull:${queueName}:events`)).toBe(1);
});
