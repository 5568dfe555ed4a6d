/** Workers with different files: temporarily, while an edit reaches one after the other, or permanently. */
import { describe, expect, it } from 'vitest';
import { createWorkerFiles, groupsFile, readLiveWorkers, type WorkerNote } from '../../src/groups/files.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';
import { configOf, jid, line, type RegistryWorker, registryRig } from './registryRig.ts';

const t = 1_763_802_000_000;
/** Longer than a live worker is ever silent. */
const deadMs = 21_000;
const fileOf = (...groups: string[]) => groupsFile(configOf(groups));
const files = {
  one: await fileOf(line('a', 1)),
  two: await fileOf(line('a', 1), line('b', 2)),
  three: await fileOf(line('c', 3)),
};
type Name = keyof typeof files;

/** Workers that announce their files, on a clock that the test moves. */
function announcing() {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  let nowMs = t;
  clock.setTime(nowMs);
  return {
    /** As if Redis was emptied. */
    forget: () => redis.del(keys.generations, keys.workers),
    live: async () => (await readLiveWorkers({ redis: clock.redis, prefix, keys })).map(({ host }) => host),
    noted: () => redis.hlen(keys.workerNotes),
    start(note?: WorkerNote) {
      const own = createWorkerFiles({ redis: clock.redis, prefix, keys }, note && (() => note));
      return {
        announce: async (file: Name) => (await own.announce(files[file])).generation,
        authority: async (file: Name) => (await own.announce(files[file])).overridesUpTo,
        others: async (file: Name) => (await own.announce(files[file])).others.length,
        stop: () => own.withdraw(),
      };
    },
    pass(ms: number) {
      nowMs += ms;
      clock.setTime(nowMs);
    },
  };
}

it('lists the live workers, the longest-running first, and forgets the others', async () => {
  const { start, live, noted, pass } = announcing();
  const note = (host: string, startedAt: number) => ({
    ...{ host, startedAt, pid: 1, version: '1.2.3', config: { hash: '0123456789ab', since: t } },
  });
  const [young, old, silent] = [start(note('young', t)), start(note('old', t - 1)), start()];
  for (const one of [young, old, silent]) await one.announce('one');
  expect(await live()).toEqual(['old', 'young']);
  pass(deadMs);
  await young.announce('two');
  expect(await live()).toEqual(['young']);
  expect(await noted()).toBe(1);
  await young.stop();
  expect(await live()).toEqual([]);
  expect(await noted()).toBe(0);
});

describe('the generation of a file', () => {
  it('is higher the later the file was first announced', async () => {
    const { start } = announcing();
    const [a, b] = [start(), start()];
    expect([await a.announce('one'), await b.announce('one'), await a.announce('one')]).toEqual([1, 1, 1]);
    expect([await a.announce('two'), await b.announce('one'), await b.announce('two')]).toEqual([2, 1, 2]);
  });

  it('stays the same when a worker with an older file starts beside one with a newer file', async () => {
    const { start } = announcing();
    const newer = start();
    await start().announce('one');
    expect(await newer.announce('two')).toBe(2);
    const late = start();
    for (let i = 0; i < 3; i++) {
      expect(await late.announce('one')).toBe(1);
      expect(await newer.announce('two')).toBe(2);
    }
  });

  it('is the newest when a worker is edited back to an old file', async () => {
    const { start } = announcing();
    const [a, b] = [start(), start()];
    await a.announce('one');
    await b.announce('one');
    await a.announce('two');
    expect(await a.announce('one')).toBe(3);
    expect(await b.announce('one')).toBe(3);
  });

  it('stays the same when Redis has lost it, in any order of announcements', async () => {
    const { start, forget } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    await forget();
    expect(await newer.announce('two')).toBe(2);
    expect(await older.announce('one')).toBe(1);
    expect(await start().announce('three')).toBe(3);
  });

  it('overrides all others once no live worker has a newer one', async () => {
    const { start, pass } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    pass(deadMs / 2);
    expect(await older.authority('one')).toBe(1);
    pass(deadMs / 2 + 1_000);
    expect(await older.authority('one')).toBe(2);
  });

  it('overrides all others at once when the worker with a newer one stops', async () => {
    const { start } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    await newer.stop();
    expect(await older.authority('one')).toBe(2);
  });

  it('stays the same after the worker was silent for a while, as in an outage', async () => {
    const { start, pass } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    pass(deadMs);
    expect(await newer.announce('two')).toBe(2);
    expect(await older.announce('one')).toBe(1);
    expect(await older.authority('one')).toBe(1);
  });

  it('is the newest again when its worker returns after an outage', async () => {
    const { start, pass } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    pass(deadMs);
    expect(await older.authority('one')).toBe(2);
    expect(await newer.authority('two')).toBe(2);
    expect(await older.authority('one')).toBe(1);
  });
});

it('names the files of other live workers only', async () => {
  const { start, pass } = announcing();
  const [a, b, c] = [start(), start(), start()];
  expect(await a.others('one')).toBe(0);
  expect(await b.others('one')).toBe(0);
  expect([await c.others('two'), await a.others('one')]).toEqual([1, 1]);
  await c.announce('three');
  expect(await a.others('one')).toBe(1);
  pass(deadMs);
  expect(await a.others('one')).toBe(0);
});

describe('two workers with different files', () => {
  type Rig = ReturnType<typeof registryRig>;
  const everyOf = async (rig: Rig, id: string) => (await rig.record(id)).entry?.schedule;
  const hourly = line('a', 1);
  const daily = line('a', 1, ', every: 1d');
  const isRegistered = async (rig: Rig, id: string) => (await rig.registration(id))?.removedAt === null;

  /** The edit has reached only one of the two. */
  async function apart(
    before: string[],
    after: string[],
  ): Promise<{ rig: Rig; old: RegistryWorker; edited: RegistryWorker }> {
    const rig = registryRig();
    const [old, edited] = [rig.worker(), rig.worker()];
    await old.sync(...before);
    await edited.sync(...before);
    await edited.sync(...after);
    return { rig, old, edited };
  }

  it('follow the newer file, whichever is registered last', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    expect(await old.sync(hourly)).toMatchObject({ changed: [], outdated: ['a'] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 86_400_000 });
    expect(await rig.worker().sync(hourly)).toMatchObject({ outdated: ['a'] });
    expect(await edited.sync(daily)).toMatchObject({ changed: [], outdated: [] });
  });

  it('follow the old one again after an edit back to it', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    expect(await edited.sync(hourly)).toMatchObject({ changed: ['a'] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 3_600_000 });
    expect(await old.sync(hourly)).toMatchObject({ changed: [], outdated: [] });
  });

  it('follow the old one once the worker with the newer one is gone', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    await edited.stop();
    expect(await old.sync(hourly)).toMatchObject({ changed: ['a'], outdated: [] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 3_600_000 });
  });

  it('keep every group that either has', async () => {
    const b = line('b', 2);
    const { rig, old, edited } = await apart([hourly, b], [hourly, line('c', 3)]);
    expect(await edited.sync(hourly, line('c', 3))).toMatchObject({ removed: [], kept: ['b'] });
    expect(await old.sync(hourly, b)).toMatchObject({ removed: [], kept: ['c'], added: [] });
    for (const id of ['a', 'b', 'c']) expect(await isRegistered(rig, id), id).toBe(true);
  });

  it('remove a group once neither has it', async () => {
    const { rig, old, edited } = await apart([hourly, line('b', 2)], [hourly]);
    expect(await isRegistered(rig, 'b')).toBe(true);
    expect(await old.sync(hourly)).toMatchObject({ removed: ['b'], kept: [] });
    expect(await edited.sync(hourly)).toMatchObject({ removed: [], kept: [] });
    expect(await isRegistered(rig, 'b')).toBe(false);
  });

  it('remove a group that only a stopped worker had', async () => {
    const { old, edited } = await apart([hourly, line('b', 2)], [hourly]);
    await old.stop();
    expect(await edited.sync(hourly)).toMatchObject({ removed: ['b'] });
  });

  it('rename a group once the newer one does, and never rotate it as two', async () => {
    const { rig, old, edited } = await apart([line('a', 1)], [line('renamed', 1)]);
    expect(await isRegistered(rig, 'a')).toBe(false);
    expect(await rig.record('renamed')).toMatchObject({ jid: jid(1), duplicateOf: null, entry: { group: 'renamed' } });
    // The older file is registered again, as after an outage.
    expect(await old.sync(line('a', 1))).toMatchObject({ duplicates: [{ group: 'a', owner: 'renamed' }] });
    expect(await rig.record('renamed')).toMatchObject({ entry: { group: 'renamed' } });
    await old.sync(line('renamed', 1));
    await edited.sync(line('renamed', 1));
    expect(await isRegistered(rig, 'a')).toBe(false);
    expect(await rig.record('renamed')).toMatchObject({ jid: jid(1), duplicateOf: null, entry: { group: 'renamed' } });
  });
});
