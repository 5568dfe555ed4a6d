/** Workers that share instances, on one Redis. Each looks when the test says so, which it does every two seconds. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { readServers } from '../../src/groups/members.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { readStatus } from '../../src/status/status.ts';
import { createSharing } from '../../src/worker/sharing.ts';
import { testRedis } from '../support/redis.ts';
import { shiftedRedis } from '../support/virtualRedis.ts';
import { testBase } from './testBase.ts';

const instances = Array.from({ length: 40 }, (_, i) => `bot${i}`);
const withToken = { TOKEN: 'a-token-of-this-test' };

function installation() {
  const { redis, prefix, keys } = testRedis();
  const clock = shiftedRedis(redis, `${prefix}:shift`);
  const db = createDatabase(clock.redis, prefix);
  let started = 0;

  async function start(names: readonly string[] = instances, env: NodeJS.ProcessEnv = withToken) {
    const { base, logged } = await testBase(clock.redis, prefix, { instances: names, env });
    onTestFinished(() => base.closeQueues());
    base.tokens.load(base.config());
    const files = createWorkerFiles(base);
    const announce = async () => files.announce(await groupsFile(base.config()));
    const self = { host: `host${started++}`, pid: 1, version: '1.2.3', startedAt: started };
    const config = { hash: '0123456789ab', since: 1 };
    /** Each time that it changed, oldest first. */
    const shares: (readonly string[])[] = [];
    const workers = {
      serve: (share: readonly { readonly name: string }[]) => {
        const next = share.map(({ name }) => name);
        if (next.join() !== shares.at(-1)?.join()) shares.push(next);
        return Promise.resolve();
      },
    };
    await announce();
    const expelled: number[] = [];
    const describe = () => ({ ...self, config, ...sharing.serves() });
    const onExpelled = () => void expelled.push(1);
    const sharing = createSharing(base, { files, workers, describe, onExpelled });
    await sharing.prepare();
    sharing.start();
    await sharing.look();
    return { ...sharing, ...self, base, files, announce, logged, expelled, shares, served: () => shares.at(-1) ?? [] };
  }
  type Member = Awaited<ReturnType<typeof start>>;

  /** Every worker looks `times` times. After each look of each, every instance is served by somebody. */
  async function looks(times: number, members: readonly Member[]) {
    for (let i = 0; i < times; i++) {
      for (const member of members) {
        await member.look();
        expect(new Set(members.flatMap(({ served }) => served()))).toEqual(new Set(instances));
      }
    }
  }

  async function startAll(count: number): Promise<Member[]> {
    const members: Member[] = [];
    for (let i = 0; i < count; i++) members.push(await start());
    await looks(2, members);
    return members;
  }

  const serversOf = (instance: string, members: readonly Member[]) =>
    members.filter(({ served }) => served().includes(instance)).map(({ host }) => host);
  const twoEach = (members: readonly Member[]) => {
    for (const instance of instances) expect(serversOf(instance, members)).toHaveLength(2);
  };
  return { redis, keys, db, clock, start, startAll, looks, serversOf, twoEach };
}

it('serves everything with one worker or two, and each instance twice with four, as readers are told', async () => {
  const { db, start, looks, startAll, serversOf, twoEach } = installation();
  const pair = await startAll(2);
  for (const { served } of pair) expect(served()).toEqual(instances);
  const four = [...pair, await start(), await start()];
  await looks(2, four);
  twoEach(four);
  const named = await readServers(db);
  for (const instance of instances) {
    expect(
      named(instance)
        .map(({ host }) => host)
        .sort(),
    ).toEqual(serversOf(instance, four).sort());
  }
  const status = await readStatus(db, four[0]!.base.config());
  expect(status.workers.map(({ serves }) => serves)).toEqual(four.map(({ served }) => served().length));
  for (const { instance, servedBy } of status.instances) {
    expect(servedBy).toEqual(named(instance).map(({ host, pid }) => ({ host, pid })));
  }
});

it('moves each instance of a dead worker once, and no other, within five looks', async () => {
  const { startAll, looks, twoEach } = installation();
  const [dead, ...living] = await startAll(4);
  const before = living.map(({ served, shares }) => ({ served: served(), changes: shares.length }));
  await looks(3, living);
  for (const [i, { shares }] of living.entries()) expect(shares).toHaveLength(before[i]!.changes);
  // The first look saw its last beat.
  await looks(2, living);
  twoEach(living);
  for (const [i, { served, shares }] of living.entries()) {
    expect(shares.length - before[i]!.changes).toBeLessThanOrEqual(1);
    const moved = served().filter((name) => !before[i]!.served.includes(name));
    expect(dead!.served()).toEqual(expect.arrayContaining(moved));
    expect(served()).toEqual(expect.arrayContaining(before[i]!.served as string[]));
  }
});

it('takes over at the next look from a worker that stops', async () => {
  const { startAll, looks, twoEach } = installation();
  const [stopping, ...others] = await startAll(4);
  await stopping!.withdraw();
  await looks(1, others);
  twoEach(others);
  // Until its jobs have ended, its file counts.
  expect((await others[0]!.announce()).others).toEqual([]);
  await stopping!.files.withdraw();
  await looks(6, others);
  twoEach(others);
});

it('goes back to its share after it hung, and so do the others', async () => {
  const { startAll, looks, twoEach } = installation();
  const all = await startAll(4);
  const [hung, ...others] = all;
  const before = all.map(({ served }) => served());
  await looks(20, others);
  expect(hung!.served()).toEqual(before[0]);
  await looks(2, all);
  // Its groups may be gone, so it registers them again, once.
  expect(all.map(({ expelled }) => expelled.length)).toEqual([1, 0, 0, 0]);
  twoEach(all);
  expect(all.map(({ served }) => served())).toEqual(before);
});

it('goes on as before when Redis is emptied', async () => {
  const { redis, keys, startAll, looks } = installation();
  const all = await startAll(4);
  const before = all.map(({ shares }) => [...shares]);
  const lists = await redis.keys(`${keys.instanceList('')}*`);
  expect(lists).toHaveLength(1);
  await redis.del(keys.workers, keys.workerNotes, keys.generations, ...lists);
  await looks(8, all);
  expect(all.map(({ shares }) => shares)).toEqual(before);
  expect(await redis.exists(...lists)).toBe(1);
});

it.each([
  ['forward', 3_600_000],
  ['back', -3_600_000],
])("serves every instance while Redis's clock is set %s, and shares them as before", async (_, ms) => {
  const { clock, startAll, looks } = installation();
  const all = await startAll(4);
  const before = all.map(({ served }) => served());
  await clock.shift(ms);
  for (let i = 0; i < 3; i++) {
    await all[i]!.announce();
    await looks(1, all);
  }
  await looks(2, all);
  expect(all.map(({ served }) => served())).toEqual(before);
  const living = all.slice(1);
  await looks(5, living);
  expect(new Set(living.flatMap(({ served }) => served())).size).toBe(instances.length);
});

it('relies only on workers that say what they serve: an older version serves all it has', async () => {
  const { db, startAll, looks } = installation();
  const old = createWorkerFiles(db, () => ({
    ...{ host: 'old', pid: 1, version: '0.3.0', startedAt: 1 },
    config: { hash: '', since: 1 },
  }));
  const config = { groups: [], results: { queues: ['invite-links'] }, verify: null };
  await old.announce(await groupsFile(config));
  const pair = await startAll(2);
  await old.announce(await groupsFile(config));
  await looks(2, pair);
  for (const { served } of pair) expect(served()).toEqual(instances);
});

it('serves what no other file has, and leaves to the others what they have too', async () => {
  const { start, startAll, looks, serversOf } = installation();
  const others = await startAll(3);
  const wider = await start([...instances, 'extra']);
  const all = [...others, wider];
  for (let i = 0; i < 2; i++) for (const { look } of all) await look();
  expect(serversOf('extra', all)).toEqual([wider.host]);
  for (const instance of instances) expect(serversOf(instance, all)).toHaveLength(2);
  await wider.withdraw();
  await looks(1, others);
});

it('leaves an instance whose token it cannot read to the workers that can', async () => {
  const { start, looks, startAll, twoEach } = installation();
  const blind = await start(instances, {});
  expect(blind.served()).toEqual(instances);
  const others = await startAll(2);
  await blind.look();
  expect(blind.served()).toEqual([]);
  await looks(1, others);
  twoEach(others);
  for (const one of others) await one.withdraw();
  await blind.look();
  expect(blind.served()).toEqual(instances);
});

it('serves an instance as well whose jobs make no progress with the others, until its queue is empty', async () => {
  const { startAll, serversOf } = installation();
  const all = await startAll(3);
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const [third] = all;
  const neglected = instances.find((instance) => !serversOf(instance, all).includes(third!.host))!;
  const queue = third!.base.queueOf(neglected);
  const job = await queue.add('rotate', {});
  const lookAfter = async (ms: number) => {
    vi.advanceTimersByTime(ms);
    await third!.lookForNeglected();
  };
  for (const ms of [0, 30_000, 10_000]) await lookAfter(ms);
  expect(third!.served()).not.toContain(neglected);
  await lookAfter(10_000);
  expect(third!.served()).toContain(neglected);
  expect(third!.logged.filter(({ event }) => event === 'instance.neglected')).toMatchObject([{ instance: neglected }]);
  await lookAfter(10_000);
  expect(third!.served()).toContain(neglected);
  await job.remove();
  await lookAfter(10_000);
  expect(third!.served()).not.toContain(neglected);
});
