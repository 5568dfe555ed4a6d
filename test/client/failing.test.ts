/** The newest link of a group is never lost: handlers fail for a long time, and Redis refuses commands or is unreachable. */
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { type JobsOptions, Queue, Worker } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { type ConsumeLinksOptions, consumeLinks, type LinkEvent, type NewLinkEvent } from '../../src/index.ts';
import { eventOf } from '../support/event.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { startProducerRig } from './producerRig.ts';

/** As the outbox publishes them, except for the delay between tries. */
const published: JobsOptions = { attempts: 10, backoff: { type: 'fixed', delay: 1 } };
const retry = { baseDelayMs: 2, maxDelayMs: 30 };

function make() {
  const { url, prefix, redis } = testRedis();
  const queue = new Queue('invite-links', { connection: redis, prefix });
  onTestFinished(() => queue.close());
  const errors: string[] = [];
  const publish = (...events: LinkEvent[]) =>
    queue.addBulk(events.map((data) => ({ name: data.type, data, opts: { ...published, jobId: data.id } })));
  const consume = (options: Partial<ConsumeLinksOptions>) => {
    const onError = (error: Error) => errors.push(error.message);
    const consumer = consumeLinks({ connection: url, prefix, retry, handler: () => {}, onError, ...options });
    onTestFinished(() => consumer.close());
    return consumer;
  };
  const left = async () => {
    const { wait = 0, active = 0, delayed = 0, failed = 0 } = await queue.getJobCounts();
    return wait + active + delayed + failed;
  };
  return { redis, prefix, queue, errors, publish, consume, left };
}

it('a handler that fails far more often than BullMQ retries gets the newest link in the end', async () => {
  const { queue, errors, publish, consume, left } = make();
  const handled: string[] = [];
  const tries = new Map<string, number>();
  let isBroken = true;
  const handler = ({ id }: NewLinkEvent) => {
    tries.set(id, (tries.get(id) ?? 0) + 1);
    if (isBroken) throw new Error('the site is down');
    handled.push(id);
  };
  consume({ handler });
  await publish(eventOf('vip', 1), eventOf('other', 1));
  await until('many tries', () => Math.min(tries.get('vip.1') ?? 0, tries.get('other.1') ?? 0) > 30);
  expect(await queue.getFailedCount()).toBe(0);
  expect(await left()).toBe(2);
  await publish(eventOf('vip', 2));
  await until('the newer one', () => (tries.get('vip.2') ?? 0) > 30);
  // The older one is dropped as soon as its next try is due.
  await until('the older one to be dropped', async () => (await left()) === 2);
  isBroken = false;
  await until('all to be handled', async () => (await left()) === 0);
  expect(handled.sort()).toEqual(['other.1', 'vip.2']);
  expect(errors.slice(0, 60).every((message) => /^(vip|other)\.[12]: the site is down$/.test(message))).toBe(true);
});

it('a consumer that is restarted while its handler fails continues', async () => {
  const { publish, consume, left } = make();
  let tries = 0;
  const handler = () => {
    tries += 1;
    if (tries < 25) throw new Error('not yet');
  };
  await publish(eventOf('vip', 1));
  const first = consume({ handler });
  await until('some tries', () => tries > 5);
  await first.close();
  expect(await left()).toBe(1);
  consume({ handler });
  await until('it to be handled', async () => (await left()) === 0);
  expect(tries).toBe(25);
});

it('a failure for which onFailed throws is delivered again until a newer link outdates it', async () => {
  const { publish, consume, left } = make();
  const failure = (group: string) =>
    eventOf(group, 1, {
      id: `${group}.1.failed.1`,
      type: 'rotation.failed',
      error: { code: 'not_admin', message: 'must be admin', httpStatus: 403 },
      nextAttemptAt: null,
      linkUncertain: false,
    });
  const tries = new Map<string, number>();
  const onFailed = ({ group }: { group: string }) => {
    const count = (tries.get(group) ?? 0) + 1;
    tries.set(group, count);
    if (group === 'vip' || count < 20) throw new Error('the pager is down');
  };
  consume({ onFailed });
  await publish(failure('vip'), failure('other'));
  await until('other to be reported', () => tries.get('other') === 20);
  await publish(eventOf('vip', 2));
  await until('nothing to be left', async () => (await left()) === 0);
  expect(tries.get('other')).toBe(20);
});

it('events that an earlier version gave up are retried, and other failed jobs stay', async () => {
  const { redis, prefix, queue, publish, consume } = make();
  const givesUp = new Worker(
    'invite-links',
    () => {
      throw new Error('the site is down');
    },
    { connection: redis, prefix },
  );
  await publish(eventOf('vip', 1), eventOf('vip', 2), eventOf('other', 1));
  await queue.add('link.rotated', { group: 'vip' }, { jobId: 'no-event' });
  await until('all to fail', async () => (await queue.getFailedCount()) === 4);
  await givesUp.close();

  const handled: string[] = [];
  consume({ handler: ({ id }) => void handled.push(id) });
  await until('the newest of each', () => handled.includes('vip.2') && handled.includes('other.1'));
  await until('the rest to be settled', async () => (await queue.getFailedCount()) === 1);
  expect((await queue.getFailed()).map(({ id }) => id)).toEqual(['no-event']);
});

it('a wrong password is reported once, without the password', async () => {
  const password = 'hunter2-of-this-test';
  const { server, redis } = await startProducerRig({ groups: ['vip'], password });
  const errors: Error[] = [];
  const handled: string[] = [];
  const consumer = consumeLinks({
    connection: `redis://:wrong-${password}@127.0.0.1:${server.port}`,
    handler: ({ id }) => void handled.push(id),
    onError: (error) => errors.push(error),
  });
  onTestFinished(() => consumer.close());
  await until('a report', () => errors.length > 0);
  await sleep(3_000);
  expect(errors.map(({ message }) => message)).toEqual(['wrong user or password']);
  expect(inspect(errors, { depth: 10 })).not.toContain(password);

  await redis.config('SET', 'requirepass', `wrong-${password}`);
  const queue = new Queue('invite-links', { connection: redis });
  await queue.add('link.rotated', eventOf('vip', 1));
  await until('the event', () => handled.length === 1);
});

it('closing waits for running handlers, but not for an unreachable Redis', async () => {
  const { server, redis } = await startProducerRig({ groups: ['vip'] });
  const proxy = await createFaultProxy(server.port);
  onTestFinished(() => proxy.close());
  const queue = new Queue('invite-links', { connection: redis });
  for (const [i, fail] of [() => proxy.refuse(), () => proxy.blackHole()].entries()) {
    await proxy.heal();
    let begun = false;
    let done = false;
    const consumer = consumeLinks({
      connection: `redis://127.0.0.1:${proxy.port}`,
      handler: async () => {
        begun = true;
        await sleep(700);
        done = true;
      },
      onError: () => {},
    });
    await queue.add('link.rotated', eventOf(`g${i}`, 1));
    await until('the handler to run', () => begun);
    await fail();
    // Redis is still unreachable then.
    await consumer.close();
    expect(done).toBe(true);
  }
});

it('a handled event is not delivered again because Redis briefly refused to note it', async () => {
  const { server, redis } = await startProducerRig({ groups: ['vip'] });
  const queue = new Queue('invite-links', { connection: redis });
  const handled: string[] = [];
  const errors: string[] = [];
  const consumer = consumeLinks({
    connection: server.url,
    handler: async ({ id }) => {
      handled.push(id);
      await redis.config('SET', 'maxmemory', '1');
    },
    onError: ({ message }) => errors.push(message),
  });
  onTestFinished(() => consumer.close());
  await queue.add('link.rotated', eventOf('vip', 1), { jobId: 'vip.1', ...published });
  await until('it to be handled', () => handled.length === 1);
  await sleep(1_500);
  await redis.config('SET', 'maxmemory', '0');
  await until('that to be noted', async () => (await queue.getCompletedCount()) === 1);
  expect(handled).toEqual(['vip.1']);
  expect(errors.filter((message) => message.startsWith('vip.1'))).toEqual([]);
});

it('nor because Redis was away for a while before it refused', async () => {
  const { server, redis } = await startProducerRig({ groups: ['vip'] });
  const proxy = await createFaultProxy(server.port);
  onTestFinished(() => proxy.close());
  const queue = new Queue('invite-links', { connection: redis });
  const handled: string[] = [];
  const consumer = consumeLinks({
    connection: `redis://127.0.0.1:${proxy.port}`,
    handler: async ({ id }) => {
      handled.push(id);
      if (handled.length === 1) await proxy.refuse();
    },
    onError: () => {},
  });
  onTestFinished(() => consumer.close());
  await queue.add('link.rotated', eventOf('vip', 1), { jobId: 'vip.1', ...published });
  await until('it to be handled', () => handled.length === 1);
  await redis.config('SET', 'maxmemory', '1');
  // Longer than Redis may refuse.
  await sleep(11_000);
  await proxy.heal();
  await sleep(2_500);
  await redis.config('SET', 'maxmemory', '0');
  await until('that to be noted', async () => (await queue.getCompletedCount()) === 1);
  expect(handled).toEqual(['vip.1']);
});
