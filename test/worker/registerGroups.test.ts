import { expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { createRegistration } from '../../src/worker/registerGroups.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { configOf, line, registryRig } from '../groups/registryRig.ts';
import { testLog } from './logged.ts';

const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => line(`g${from + i}`, `CODE0000${from + i}`));

function workers() {
  const rig = registryRig();

  const start = () => {
    const tokens = createTokens({ T: 'token-of-bot', U: 'token-of-bot2' });
    const { log, logged } = testLog();
    let config: Config;
    const registration = createRegistration({ ...rig, tokens, log, config: () => config });
    return {
      async register(...groups: string[]) {
        config = configOf(groups);
        tokens.load(config);
        await registration.register();
      },
      reconcile: registration.reconcile,
      stop: registration.close,
      /** Events logged since the last call, without the one that every registration logs. */
      warned: () => logged.splice(0).filter(({ event }) => event !== 'registry.synced'),
    };
  };
  const isRegistered = async (id: string) => (await rig.registration(id))?.removedAt === null;
  return { ...rig, start, isRegistered };
}

it('logs an error when many groups leave the file at once, with their ids', async () => {
  const { register, warned } = workers().start();
  await register(...many(9));
  await register(...many(5));
  const [line, ...more] = warned();
  expect([line, more]).toMatchObject([{ event: 'groups.vanished', level: 50, removed: 4 }, []]);
  expect(new Set(line?.groups as string[])).toEqual(new Set(['g5', 'g6', 'g7', 'g8']));
});

it('logs no error when a few groups leave the file', async () => {
  const { register, warned } = workers().start();
  await register(...many(9));
  await register(...many(7));
  expect(warned()).toEqual([]);
});

it('warns once about another worker with a different file, and names the groups that it keeps for that worker', async () => {
  const { start, isRegistered } = workers();
  const [one, two] = [start(), start()];
  await one.register(line('a', 1), line('b', 2));
  await two.register(line('a', 1, ', every: 2h'), line('c', 3));
  expect(two.warned()).toMatchObject([{ event: 'config.differs' }, { event: 'groups.kept', groups: ['b'] }]);
  await one.reconcile();
  expect(one.warned()).toMatchObject([{ event: 'config.differs' }]);
  for (let i = 0; i < 3; i++) {
    await one.reconcile();
    await two.reconcile();
  }
  expect([...one.warned(), ...two.warned()]).toEqual([]);
  for (const id of ['a', 'b', 'c']) expect(await isRegistered(id), id).toBe(true);
});

it('registers what the file of another worker prevented, once that worker has stopped', async () => {
  const { start, isRegistered, record } = workers();
  const [older, newer] = [start(), start()];
  await older.register(line('a', 1), line('b', 2));
  await newer.register(line('a', 1, ', every: 2h'));
  await older.stop();
  await newer.reconcile();
  expect(await isRegistered('b')).toBe(false);

  const late = start();
  await late.register(line('a', 1), line('b', 2));
  expect((await record('a')).entry?.schedule).toMatchObject({ everyMs: 7_200_000 });
  await newer.stop();
  await late.reconcile();
  expect((await record('a')).entry?.schedule).toMatchObject({ everyMs: 3_600_000 });
});

it('registers everything again after Redis was emptied', async () => {
  const { start, isRegistered, redis, prefix } = workers();
  const worker = start();
  await worker.register(line('a', 1), line('b', 2));
  const keys = await redis.keys(`${prefix}:*`);
  await redis.del(...keys);
  await worker.reconcile();
  for (const id of ['a', 'b']) expect(await isRegistered(id), id).toBe(true);
});

it('registers an edit again after Redis was restored from an older backup', async () => {
  const { start, record, redis, prefix } = workers();
  const worker = start();
  await worker.register(line('a', 1));
  const names = await redis.keys(`${prefix}:*`);
  const backup = await Promise.all(names.map(async (name) => [name, await redis.dumpBuffer(name)] as const));
  await worker.register(line('a', 1, ', every: 2h'));
  await redis.del(...(await redis.keys(`${prefix}:*`)));
  for (const [name, dump] of backup) await redis.restore(name, 0, dump!);
  await worker.reconcile();
  expect((await record('a')).entry?.schedule).toMatchObject({ everyMs: 7_200_000 });
});

it('reports a duplicate once', async () => {
  const { start, resolve } = workers();
  const worker = start();
  await worker.register(line('a', 'CODE00001'));
  const jid = '120363406289005071@g.us';
  await resolve('a', jid, 'CODE00001');
  const both = [line('a', 'CODE00001'), line('b', jid)];
  await worker.register(...both);
  expect(worker.warned()).toMatchObject([{ event: 'group.duplicate', group: 'b', owner: 'a' }]);
  await worker.register(...both);
  expect(worker.warned()).toEqual([]);
});

it('never registers twice at once: calls during a registration share the next one', async () => {
  const rig = registryRig();
  const tokens = createTokens({ T: 'token-of-bot', U: 'token-of-bot2' });
  const { log, logged } = testLog();
  const config = configOf([line('a', 1)]);
  tokens.load(config);
  const registration = createRegistration({ ...rig, tokens, log, config: () => config });
  await Promise.all([
    registration.register(),
    registration.register(),
    registration.reconcile(),
    registration.register(),
  ]);
  expect(logged.map(({ event, added }) => [event, added])).toEqual([
    ['registry.synced', 1],
    ['registry.synced', 0],
  ]);
});

it('registers its groups again after it was taken for dead and continues', async () => {
  const { start, isRegistered, redis, keys } = workers();
  const [frozen, other] = [start(), start()];
  await frozen.register(line('a', 1), line('b', 2));
  const [member] = await redis.zrange(keys.workers, '0', '-1');
  await other.register(line('a', 1));
  await frozen.reconcile();
  await redis.zrem(keys.workers, member!);
  await other.reconcile();
  expect(await isRegistered('b')).toBe(false);
  await frozen.reconcile();
  expect(await isRegistered('b')).toBe(true);
});
