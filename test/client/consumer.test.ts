import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { type ConsumeLinksOptions, consumeLinks, type LinkEvent, type NewLinkEvent } from '../../src/index.ts';
import { eventOf as event } from '../support/event.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

function make() {
  const base = testRedis();
  const { url, prefix, redis } = base;
  const queue = new Queue('invite-links', { connection: redis, prefix });
  onTestFinished(() => queue.close());
  const seen: string[] = [];
  const errors: string[] = [];
  const handler = (handled: NewLinkEvent) => void seen.push(handled.id);
  const consume = async (options: Partial<ConsumeLinksOptions> = {}) => {
    const onError = (error: Error) => errors.push(error.message);
    const consumer = consumeLinks({ connection: url, prefix, handler, onError, ...options });
    onTestFinished(() => consumer.close());
    await consumer.ready();
    return consumer;
  };
  const publish = (events: readonly LinkEvent[], opts = {}) =>
    queue.addBulk(events.map((data) => ({ name: data.type, data, opts: { jobId: data.id, ...opts } })));
  const drained = () =>
    until('the queue to be empty', async () => {
      const { wait = 0, active = 0, delayed = 0 } = await queue.getJobCounts('wait', 'active', 'delayed');
      return wait + active + delayed === 0;
    });
  return { ...base, queue, seen, errors, consume, publish, drained };
}

it('delivers each new link, and failures only to onFailed', async () => {
  const { consume, publish, drained, seen, errors } = make();
  const failures: string[] = [];
  const failed = event('vip', 2, {
    id: 'vip.2.failed.1',
    type: 'rotation.failed',
    error: { code: 'not_admin', message: 'must be admin', httpStatus: 403 },
    nextAttemptAt: null,
    linkUncertain: false,
  });
  await publish([event('vip', 1), failed, event('vip', 3, { type: 'link.changed', reason: 'drift' })]);
  await consume({ onFailed: ({ id, error }) => void failures.push(`${id} ${error.code}`) });
  await drained();
  expect(seen).toEqual(['vip.1', 'vip.3']);
  expect(failures).toEqual(['vip.2.failed.1 not_admin']);
  expect(errors).toEqual([]);
});

it('drops older events, also after a restart, and events that were handled before', async () => {
  const { consume, publish, drained, seen, queue } = make();
  const first = await consume();
  await publish([event('vip', 5)]);
  await drained();
  await first.close();
  await consume();
  await publish([event('vip', 4), event('vip', 6)]);
  await drained();
  await queue.clean(0, 0, 'completed');
  await publish([event('vip', 6)]);
  await drained();
  expect(seen).toEqual(['vip.5', 'vip.6']);
});

it('rejects events whose link leads to another site', async () => {
  const { consume, publish, seen, errors } = make();
  const elsewhere = [
    'https://evil.example/ABC123XYZ',
    'https://chat.whatsapp.com.evil.example/ABC123XYZ',
    'https://chat.whatsapp.com/ABC123XYZ?to=https://evil.example',
    'https://chat.whatsapp.com/../../evil.example',
    'javascript:alert(1)//chat.whatsapp.com/ABC123XYZ',
    'https://chat.whatsapp.com/ABC123XYZ\n"><script>alert(1)</script>',
  ];
  await publish(elsewhere.map((inviteLink, i) => event(`g${i}`, 1, { inviteLink })));
  await consume();
  await until('each to be refused', () => errors.length === elsewhere.length);
  expect(seen).toEqual([]);
});

it('handles one event of a group at a time, in order, and different groups concurrently', async () => {
  const { consume, publish, drained } = make();
  const running = new Map<string, number>();
  let most = 0;
  const order: number[] = [];
  await publish(Array.from({ length: 40 }, (_, i) => event(`g${i % 4}`, i + 1)));
  const handler = async ({ group, revision }: NewLinkEvent) => {
    expect(running.get(group) ?? 0).toBe(0);
    running.set(group, 1);
    most = Math.max(
      most,
      [...running.values()].reduce((sum, one) => sum + one, 0),
    );
    await sleep(10);
    running.set(group, 0);
    if (group === 'g1') order.push(revision);
  };
  // Two processes' worth.
  await Promise.all([consume({ handler }), consume({ handler })]);
  await drained();
  expect(most).toBeGreaterThan(1);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(order.at(-1)).toBe(38);
});

it('calls a failed handler again unless a newer link has arrived', async () => {
  const { consume, publish, drained, seen, errors } = make();
  const tries = new Map<string, number>();
  let triedBefore = 0;
  const handler = ({ id }: NewLinkEvent) => {
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    if (id === 'vip.1' || (id === 'other.1' && count < 3)) throw new Error('the site is down');
    if (id === 'vip.2') triedBefore = tries.get('vip.1') ?? 0;
    seen.push(id);
  };
  await consume({ handler, retry: { baseDelayMs: 300 } });
  await publish([event('vip', 1), event('other', 1)]);
  await until('the first tries', () => tries.size === 2);
  await publish([event('vip', 2)]);
  await drained();
  expect(seen.sort()).toEqual(['other.1', 'vip.2']);
  expect(tries.get('vip.1')).toBe(triedBefore);
  expect(errors[0]).toMatch(/: the site is down$/);
});

it('keeps other consumers from a group whose handler runs for a long time', async () => {
  const { consume, publish, drained, redis, keys } = make();
  const ended: number[] = [];
  const handler = async ({ revision }: NewLinkEvent) => {
    if (revision === 1) await sleep(1_500);
    ended.push(revision);
  };
  await Promise.all([consume({ handler, concurrency: 1 }), consume({ handler, concurrency: 1 })]);
  await publish([event('vip', 1)]);
  await until(
    'the first to be handled',
    async () => (await redis.exists(keys.handlerLease('invite-links', 'vip'))) === 1,
  );
  await publish([event('vip', 2)]);
  await drained();
  expect(ended).toEqual([1, 2]);
});

it('rejects and reports jobs that are not events', async () => {
  const { consume, queue, drained, errors, seen } = make();
  await consume();
  await queue.add('link.rotated', { group: 'vip' }, { jobId: 'no-event', attempts: 3 });
  await queue.add('link.rotated', { ...event('vip', 1), version: 2 }, { jobId: 'newer', attempts: 3 });
  await drained();
  await until('both to be reported', () => errors.length === 2);
  expect(seen).toEqual([]);
  expect(errors.sort()).toEqual([
    'newer: job newer of invite-links is not an event of version 1: it has version 2: update invite-rotator',
    'no-event: job no-event of invite-links is not an event of version 1: its data does not match the schema',
  ]);
});

it('waits for running handlers when it is closed', async () => {
  const { consume, publish } = make();
  const done: string[] = [];
  let begun = false;
  const consumer = await consume({
    handler: async ({ id }) => {
      begun = true;
      await sleep(300);
      done.push(id);
    },
  });
  await publish([event('vip', 1)]);
  await until('it to begin', () => begun);
  await consumer.close();
  expect(done).toEqual(['vip.1']);
});

it('catches up with a thousand rotations of fifty groups across a restart, and ends with the newest of each', async () => {
  const { consume, publish, drained } = make();
  const held = new Map<string, number>();
  const handler = ({ group, revision }: NewLinkEvent) => {
    expect(revision).toBeGreaterThan(held.get(group) ?? 0);
    held.set(group, revision);
  };
  await publish(Array.from({ length: 1_000 }, (_, i) => event(`g${i % 50}`, i + 1)));
  const first = await consume({ handler });
  await until('some to be handled', () => held.size > 10);
  await first.close();
  await consume({ handler });
  await drained();
  expect(held.size).toBe(50);
  for (let i = 0; i < 50; i++) expect(held.get(`g${i}`)).toBe(951 + i);
});
