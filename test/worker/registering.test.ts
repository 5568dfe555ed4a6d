import { expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { createRegistering } from '../../src/worker/registering.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { configOf, line, registryRig } from '../groups/registryRig.ts';
import { testLog } from './logged.ts';

const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => line(`g${from + i}`, `CODE0000${from + i}`));

function workers() {
  const rig = registryRig();
  const { redis, keys, store } = rig;
  const start = () => {
    const tokens = createTokens({ T: 'token-of-bot', U: 'token-of-bot2' });
    const { log, logged } = testLog();
    const registering = createRegistering({ redis, keys, store, tokens, log });
    const load = (config: Config) => tokens.load(config);
    return {
      async register(...groups: string[]) {
        const config = configOf(groups);
        load(config);
        await registering.register(config);
        return config;
      },
      reconcile: registering.reconcile,
      stop: registering.close,
      /** Events logged since it was asked last, but for what every registration says. */
      warned: () => logged.splice(0).filter(({ event }) => event !== 'registry.synced'),
    };
  };
  const isRegistered = async (id: string) => (await rig.registration(id))?.removedAt === null;
  return { ...rig, start, isRegistered };
}

it('says loudly that many groups have left the file at once, and which', async () => {
  const { register, warned } = workers().start();
  await register(...many(9));
  await register(...many(5));
  const [told, ...more] = warned();
  expect([told, more]).toMatchObject([{ event: 'groups.vanished', level: 50, removed: 4 }, []]);
  expect(new Set(told?.groups as string[])).toEqual(new Set(['g5', 'g6', 'g7', 'g8']));
});

it('says nothing where a few leave it', async () => {
  const { register, warned } = workers().start();
  await register(...many(9));
  await register(...many(7));
  expect(warned()).toEqual([]);
});

it('warns once of another worker whose file differs, and names the groups that stay for that', async () => {
  const { start, isRegistered } = workers();
  const [one, two] = [start(), start()];
  const first = await one.register(line('a', 1), line('b', 2));
  const second = await two.register(line('a', 1, ', every: 2h'), line('c', 3));
  expect(two.warned()).toMatchObject([{ event: 'config.differs' }, { event: 'groups.kept', groups: ['b'] }]);
  await one.reconcile(first);
  expect(one.warned()).toMatchObject([{ event: 'config.differs' }]);
  for (let i = 0; i < 3; i++) {
    await one.reconcile(first);
    await two.reconcile(second);
  }
  expect([...one.warned(), ...two.warned()]).toEqual([]);
  for (const id of ['a', 'b', 'c']) expect(await isRegistered(id), id).toBe(true);
});

it('registers what another file has held up once that worker is gone', async () => {
  const { start, isRegistered, record } = workers();
  const [older, newer] = [start(), start()];
  const file = await older.register(line('a', 1), line('b', 2));
  const edited = await newer.register(line('a', 1, ', every: 2h'));
  await older.stop();
  await newer.reconcile(edited);
  expect(await isRegistered('b')).toBe(false);

  const late = start();
  await late.register(line('a', 1), line('b', 2));
  expect((await record('a')).entry?.schedule).toMatchObject({ everyMs: 7_200_000 });
  await newer.stop();
  await late.reconcile(file);
  expect((await record('a')).entry?.schedule).toMatchObject({ everyMs: 3_600_000 });
});

it('registers everything again where Redis was emptied', async () => {
  const { start, isRegistered, redis, prefix } = workers();
  const worker = start();
  const config = await worker.register(line('a', 1), line('b', 2));
  const keys = await redis.keys(`${prefix}:*`);
  await redis.del(...keys);
  await worker.reconcile(config);
  for (const id of ['a', 'b']) expect(await isRegistered(id), id).toBe(true);
});

it('registers everything again where Redis was restored from before an edit', async () => {
  const { start, record, redis, prefix } = workers();
  const worker = start();
  await worker.register(line('a', 1));
  const names = await redis.keys(`${prefix}:*`);
  const backup = await Promise.all(names.map(async (name) => [name, await redis.dumpBuffer(name)] as const));
  const config = await worker.register(line('a', 1, ', every: 2h'));
  await redis.del(...(await redis.keys(`${prefix}:*`)));
  for (const [name, dump] of backup) await redis.restore(name, 0, dump!);
  await worker.reconcile(config);
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
