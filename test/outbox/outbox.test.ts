import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import type { LinkEvent } from '../../src/contract/event.ts';
import { failureOf } from '../../src/groups/failedOneOffs.ts';
import { appendFailure, createOutbox } from '../../src/outbox/outbox.ts';
import { connectRedis } from '../../src/redis/connection.ts';
import { createCommandProxy } from '../support/commandProxy.ts';
import { eventOf } from '../support/event.ts';
import { testRedis } from '../support/redis.ts';
import { createRefusingProxy } from '../support/refusingProxy.ts';

const event = (revision: number, group = 'vip') => eventOf(group, revision);

/** `through`: the client that the outbox uses; default: the tests' own. */
function make(through?: Redis, base = testRedis()) {
  const { redis, keys, prefix } = base;
  const errors: [string, string][] = [];
  const onError = (queue: string, error: Error) => errors.push([queue, error.message]);
  const outbox = createOutbox({ redis: through ?? redis, keys, prefix, onError });
  const queue = new Queue('links', { connection: redis, prefix });
  onTestFinished(async () => {
    await outbox.close();
    await queue.close();
  });
  const commit = (...events: LinkEvent[]) =>
    redis.rpush(keys.outbox('links'), ...events.map((committed) => JSON.stringify(committed)));
  const published = async () => (await queue.getJobs(['wait'], 0, -1, true)).map(({ id }) => id);
  return { ...base, outbox, errors, queue, commit, published };
}

it('publishes in the order of the commits, and removes what is published', async () => {
  const { outbox, commit, published, redis, keys, queue } = make();
  const events = Array.from({ length: 250 }, (_, i) => event(i + 1));
  await commit(...events);
  expect(await outbox.publish('links')).toBe(250);
  expect(await published()).toEqual(events.map(({ id }) => id));
  expect(await redis.exists(keys.outbox('links'), keys.publisher('links'))).toBe(0);
  const job = await queue.getJob('vip.7');
  expect([job?.name, job?.data]).toEqual(['link.rotated', events[6]]);
});

it('keeps the order within a group if Redis refuses one of several events and accepts the next', async () => {
  const base = testRedis();
  const proxy = await createRefusingProxy(Number(new URL(base.url).port));
  const client = await connectRedis({ url: `redis://127.0.0.1:${proxy.port}` });
  onTestFinished(async () => {
    client.disconnect();
    await proxy.close();
  });
  const { outbox, commit, published } = make(client as Redis, base);
  await commit(event(1), event(2), event(1, 'other'));
  const refused = proxy.refuseFrom({ command: 'addStandardJob', nth: 1 }, '-OOM command not allowed').then(proxy.heal);
  await outbox.publish('links');
  await refused;
  expect((await published()).filter((id) => id?.startsWith('vip'))).toEqual(['vip.1', 'vip.2']);
});

it('reports the failure of a one-off once, and remembers why', async () => {
  const { outbox, redis, keys } = make();
  const failed = { event: event(1), identity: 'job-1', reason: 'unknown group "vip"' };
  await appendFailure({ redis, keys }, ['links'], failed);
  await appendFailure({ redis, keys }, ['links'], { ...failed, event: event(2), reason: 'another' });
  expect(await outbox.waiting('links')).toBe(1);
  expect(await failureOf({ redis, keys }, 'job-1')).toBe(failed.reason);
  await appendFailure({ redis, keys }, ['links'], { ...failed, event: event(3), identity: 'job-2' });
  expect(await outbox.waiting('links')).toBe(2);
});

it('publishes an event once, however often it is added', async () => {
  const { outbox, commit, published } = make();
  await commit(event(1));
  await outbox.publish('links');
  // As after a crash between adding and removing.
  await commit(event(1), event(2));
  await outbox.publish('links');
  expect(await published()).toEqual(['vip.1', 'vip.2']);
});

it('publishes each event once when several publish at once, and leaves nothing behind', async () => {
  const { outbox, commit, published, redis, keys } = make();
  await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      await commit(event(i + 1));
      await outbox.publish('links');
    }),
  );
  await outbox.publish('links');
  const ids = await published();
  expect(ids).toHaveLength(30);
  expect(new Set(ids).size).toBe(30);
  expect(await redis.exists(keys.outbox('links'), keys.publisher('links'))).toBe(0);
});

it.each(['peek', 'addStandardJob', 'ack'])(
  'publishes each event once when the answer to %s is lost with the connection',
  async (command) => {
    const base = testRedis();
    const proxy = await createCommandProxy(Number(new URL(base.url).port));
    const through = new Redis({ port: proxy.port, maxRetriesPerRequest: null });
    through.on('error', () => {});
    onTestFinished(async () => {
      through.disconnect();
      await proxy.close();
    });
    const { outbox, commit, published, redis, keys } = make(through, base);
    await commit(event(1));
    await outbox.publish('links');
    // Two and a half batches: events behind a batch must not be removed with it.
    const events = Array.from({ length: 250 }, (_, i) => event(i + 2));
    await commit(...events);
    const cut = proxy.cutAt({ command, nth: 1 });
    await Promise.all([outbox.publish('links'), cut]);
    expect(await published()).toEqual([event(1), ...events].map(({ id }) => id));
    expect(await redis.exists(keys.outbox('links'), keys.publisher('links'))).toBe(0);
  },
);

it('does not touch an outbox that another publisher holds', async () => {
  const { outbox, commit, redis, keys } = make();
  await commit(event(1));
  await redis.set(keys.publisher('links'), 'another publisher', 'PX', 5_000);
  expect(await outbox.publish('links')).toBe(0);
  expect(await outbox.waiting('links')).toBe(1);
});

it('delays no other queue if one cannot be written to, and loses nothing', async () => {
  const { outbox, commit, published, redis, keys, prefix, errors } = make();
  await redis.set(`${prefix}:broken:meta`, 'not a hash');
  await redis.rpush(keys.outbox('broken'), JSON.stringify(event(1)));
  await commit(event(1));
  await outbox.publishAll(['broken', 'links']);
  expect(await published()).toEqual(['vip.1']);
  expect(errors.map(([queue]) => queue)).toContain('broken');
  expect(await outbox.waiting('broken')).toBe(1);
});
