/** What visitors get while Redis is away, hangs, or has lost its data, and when it is back. */
import { expect, inject, it, onTestFinished } from 'vitest';
import { createBatches } from '../../src/join/batches.ts';
import { line, registryRig } from '../groups/registryRig.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { until } from '../support/until.ts';
import { linkOf, startJoin } from './joinRig.ts';

/** Groups with links in the tests' Redis, and a proxy before it. */
async function behindProxy(...ids: string[]) {
  const rig = registryRig();
  await rig.sync(...ids.map((id, i) => line(id, i + 1)));
  for (const id of ids) await rig.adopt(id, `CODE-${id}`);
  const proxy = await createFaultProxy(Number(new URL(inject('redisUrl')).port));
  onTestFinished(() => proxy.close());
  return { rig, proxy, redis: { prefix: rig.prefix, url: `redis://127.0.0.1:${proxy.port}` } };
}

it('serves the last known links while Redis is away, also those that nobody asked for, and is fresh when it is back', async () => {
  const { rig, proxy, redis } = await behindProxy('vip', 'unvisited');
  const { get, leadsTo, fresh, metric, whyAway } = await startJoin(redis);
  expect(await fresh('vip')).toBe(linkOf('CODE-vip'));
  const isFresh = async () => (await metric('from_memory')).join() === 'from_memory 0,from_memory_since_seconds 0';
  await until('the metrics to say so', isFresh);

  await proxy.refuse();
  await until('Redis to be missed', () => whyAway().some((why) => /^with 2: connection (closed|refused)$/.test(why)));
  const from = Date.now() / 1_000;
  const served = async () => Number((await metric('redirects_total{outcome="from_memory"}'))[0]?.split(' ')[1]);
  const servedBefore = await served();
  expect(await Promise.all(['vip', 'unvisited', 'nobody'].map(leadsTo))).toEqual([
    linkOf('CODE-vip'),
    linkOf('CODE-unvisited'),
    404,
  ]);
  expect((await get('/groups/unvisited')).status).toBe(200);
  expect((await get('/join/unvisited/qr.png')).status).toBe(200);
  const [isAway, since] = await metric('from_memory');
  expect(isAway).toBe('from_memory 1');
  expect(Number(since?.split(' ')[1])).toBeLessThanOrEqual(from);
  expect(await served()).toBe(servedBefore + 2);

  await rig.reset('vip', 'CODE-new');
  await proxy.heal();
  expect(await fresh('vip')).toBe(linkOf('CODE-new'));
  await until('the metrics to say so', isFresh);
});

it('makes no visitor wait for a Redis that hangs, but the first', async () => {
  const { rig, proxy, redis } = await behindProxy('vip');
  const { leadsTo, fresh, links, whyAway } = await startJoin(redis);
  expect(await fresh('vip')).toBe(linkOf('CODE-vip'));
  proxy.blackHole();
  const first = await Promise.all([leadsTo('vip'), leadsTo('vip')]);
  expect(first).toEqual([linkOf('CODE-vip'), linkOf('CODE-vip')]);
  expect(whyAway()).toContain('with 1: no answer within 1000 ms');
  for (let i = 0; i < 20; i++) {
    // Before any answer of Redis, and any timer, could be noticed.
    const next = new Promise((resolve) => setImmediate(resolve, 'the visitor waits'));
    expect(await Promise.race([links.find('vip'), next])).toMatchObject({ inviteLink: linkOf('CODE-vip') });
  }

  await rig.reset('vip', 'CODE-new');
  await proxy.heal();
  expect(await fresh('vip')).toBe(linkOf('CODE-new'));
});

it('waits for a Redis that is away at the start', async () => {
  const { proxy, redis } = await behindProxy('vip');
  await proxy.refuse();
  const { get, leadsTo, fresh, reports } = await startJoin(redis);
  expect(reports).toEqual([`away with 0: cannot reach Redis at redis://127.0.0.1:${proxy.port}: connection refused`]);
  for (const group of ['vip', 'nobody']) {
    const { status, headers, body } = await get(`/join/${group}`);
    expect([status, headers['retry-after']]).toEqual([503, '10']);
    expect(body.toString()).toContain('The link of this group cannot be read now.');
  }
  expect(await get('/healthz')).toMatchObject({ status: 200 });
  await proxy.heal();
  expect(await fresh('vip')).toBe(linkOf('CODE-vip'));
  expect(await leadsTo('nobody')).toBe(404);
});

it('keeps the links when Redis loses its data, until each is read again', async () => {
  const { rig, redis } = await behindProxy('vip', 'other');
  const { leadsTo, fresh, links, whyAway } = await startJoin(redis);
  const stored = await rig.redis.keys(`${rig.prefix}:*`);
  await rig.redis.del(...stored);
  expect(await leadsTo('vip')).toBe(linkOf('CODE-vip'));
  await until('the loss to be noticed', () => whyAway().includes('with 2: it has lost its data'));
  expect(await leadsTo('other')).toBe(linkOf('CODE-other'));

  // A worker registers its groups again, one after the other, and has not read their links yet. `other` is another
  // WhatsApp group now.
  await rig.sync(line('other', 3));
  await until('the groups to be back', () => links.state().awaySince === null);
  expect(await leadsTo('vip')).toBe(linkOf('CODE-vip'));
  await rig.sync(line('vip', 1), line('other', 3));
  expect(await leadsTo('vip')).toBe(linkOf('CODE-vip'));
  expect(await leadsTo('other')).toBe(503);
  await rig.adopt('vip', 'CODE-new');
  expect(await fresh('vip')).toBe(linkOf('CODE-new'));
});

it('learns links that nobody asks for', async () => {
  const { rig, proxy, redis } = await behindProxy('vip');
  const { leadsTo, links } = await startJoin(redis);
  await rig.sync(line('vip', 1), line('later', 2));
  await rig.adopt('later', 'CODE-later');
  await until('it to know the new group', () => links.state().known === 2);
  await proxy.refuse();
  await until('Redis to be missed', () => links.state().awaySince !== null);
  expect(await leadsTo('later')).toBe(linkOf('CODE-later'));
});

it('joins reads that are wanted during another, and begins none before it is wanted', async () => {
  const begun: (readonly string[])[] = [];
  const ends: (() => void)[] = [];
  const read = createBatches((ids) => {
    begun.push(ids);
    return new Promise<string>((resolve, reject) => {
      ends.push(() => (ids.includes('bad') ? reject(new Error(ids.join())) : resolve(ids.join())));
    });
  });
  const first = [read('a'), read('b')];
  await until('a read', () => begun.length === 1);
  const second = [read('a'), read('c'), read('a'), read('bad')];
  ends[0]?.();
  expect(await Promise.all(first)).toEqual(['a,b', 'a,b']);
  await until('another read', () => begun.length === 2);
  const third = read('d');
  ends[1]?.();
  expect((await Promise.allSettled(second)).map(({ status }) => status)).toEqual(Array(4).fill('rejected'));
  await until('the last read', () => begun.length === 3);
  ends[2]?.();
  expect(await third).toBe('d');
  expect(begun).toEqual([['a', 'b'], ['a', 'c', 'bad'], ['d']]);
});
