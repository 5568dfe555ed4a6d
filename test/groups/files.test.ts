/** Workers whose files differ: for a while, as an edit reaches them one after the other, or for good. */
import { describe, expect, it } from 'vitest';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';
import { configOf, jid, line, type RegistryWorker, registryRig } from './registryRig.ts';

const t = 1_763_802_000_000;
/** Longer than a worker that lives is ever silent. */
const deadMs = 21_000;
const fileOf = (...groups: string[]) => groupsFile(configOf(groups));
const files = {
  one: fileOf(line('a', 1)),
  two: fileOf(line('a', 1), line('b', 2)),
  three: fileOf(line('c', 3)),
};
type Name = keyof typeof files;

/** Workers that say by which file they go, by a clock that the test moves. */
function announcing() {
  const { redis, keys, prefix } = testRedis();
  const clock = virtualRedis(redis, `${prefix}:clock`);
  let nowMs = t;
  clock.setTime(nowMs);
  return {
    /** As a Redis that was emptied. */
    forget: () => redis.del(keys.generations, keys.workers),
    start() {
      const own = createWorkerFiles({ redis: clock.redis, prefix, keys });
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

describe('the generation of a file', () => {
  it('is higher the later it was seen first', async () => {
    const { start } = announcing();
    const [a, b] = [start(), start()];
    expect([await a.announce('one'), await b.announce('one'), await a.announce('one')]).toEqual([1, 1, 1]);
    expect([await a.announce('two'), await b.announce('one'), await b.announce('two')]).toEqual([2, 1, 2]);
  });

  it('stays where a worker with an older file starts beside one with a newer', async () => {
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

  it('is the newest where a worker was edited back to an old file', async () => {
    const { start } = announcing();
    const [a, b] = [start(), start()];
    await a.announce('one');
    await b.announce('one');
    await a.announce('two');
    expect(await a.announce('one')).toBe(3);
    expect(await b.announce('one')).toBe(3);
  });

  it('stays where Redis has lost it, whoever announces first', async () => {
    const { start, forget } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    await forget();
    expect(await newer.announce('two')).toBe(2);
    expect(await older.announce('one')).toBe(1);
    expect(await start().announce('three')).toBe(3);
  });

  it('has the authority of the newest once no worker that lives has a newer one', async () => {
    const { start, pass } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    pass(deadMs / 2);
    expect(await older.authority('one')).toBe(1);
    pass(deadMs / 2 + 1_000);
    expect(await older.authority('one')).toBe(2);
  });

  it('has that authority at once where the worker with a newer one was stopped', async () => {
    const { start } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    await newer.stop();
    expect(await older.authority('one')).toBe(2);
  });

  it('stays where a worker with an older file was silent for a while, as in an outage', async () => {
    const { start, pass } = announcing();
    const [older, newer] = [start(), start()];
    await older.announce('one');
    await newer.announce('two');
    pass(deadMs);
    expect(await newer.announce('two')).toBe(2);
    expect(await older.announce('one')).toBe(1);
    expect(await older.authority('one')).toBe(1);
  });

  it('is the newest again when its worker comes back after an outage', async () => {
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

it('names the files of other workers that live, and no other', async () => {
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

  /** The edit has reached the one and not the other. */
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

  it('go by the newer one, whichever is registered last', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    expect(await old.sync(hourly)).toMatchObject({ changed: [], outdated: ['a'] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 86_400_000 });
    expect(await rig.worker().sync(hourly)).toMatchObject({ outdated: ['a'] });
    expect(await edited.sync(daily)).toMatchObject({ changed: [], outdated: [] });
  });

  it('go by the old one again once that is what somebody edited it back to', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    expect(await edited.sync(hourly)).toMatchObject({ changed: ['a'] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 3_600_000 });
    expect(await old.sync(hourly)).toMatchObject({ changed: [], outdated: [] });
  });

  it('go by the old one once the worker with the newer is gone', async () => {
    const { rig, old, edited } = await apart([hourly], [daily]);
    await edited.stop();
    expect(await old.sync(hourly)).toMatchObject({ changed: ['a'], outdated: [] });
    expect(await everyOf(rig, 'a')).toMatchObject({ everyMs: 3_600_000 });
  });

  it('keep every group that one of them has', async () => {
    const b = line('b', 2);
    const { rig, old, edited } = await apart([hourly, b], [hourly, line('c', 3)]);
    expect(await edited.sync(hourly, line('c', 3))).toMatchObject({ removed: [], kept: ['b'] });
    expect(await old.sync(hourly, b)).toMatchObject({ removed: [], kept: ['c'], added: [] });
    for (const id of ['a', 'b', 'c']) expect(await isRegistered(rig, id), id).toBe(true);
  });

  it('give up a group once neither has it', async () => {
    const { rig, old, edited } = await apart([hourly, line('b', 2)], [hourly]);
    expect(await isRegistered(rig, 'b')).toBe(true);
    expect(await old.sync(hourly)).toMatchObject({ removed: ['b'], kept: [] });
    expect(await edited.sync(hourly)).toMatchObject({ removed: [], kept: [] });
    expect(await isRegistered(rig, 'b')).toBe(false);
  });

  it('give up what only a worker had that was stopped', async () => {
    const { old, edited } = await apart([hourly, line('b', 2)], [hourly]);
    await old.stop();
    expect(await edited.sync(hourly)).toMatchObject({ removed: ['b'] });
  });

  it('rename a group as soon as the newer one says so, and never rotate it as two', async () => {
    const { rig, old, edited } = await apart([line('a', 1)], [line('renamed', 1)]);
    expect(await isRegistered(rig, 'a')).toBe(false);
    expect(await rig.record('renamed')).toMatchObject({ jid: jid(1), duplicateOf: null, entry: { group: 'renamed' } });
    // The older file is looked at once more, as after an outage.
    expect(await old.sync(line('a', 1))).toMatchObject({ duplicates: [{ group: 'a', owner: 'renamed' }] });
    expect(await rig.record('renamed')).toMatchObject({ entry: { group: 'renamed' } });
    await old.sync(line('renamed', 1));
    await edited.sync(line('renamed', 1));
    expect(await isRegistered(rig, 'a')).toBe(false);
    expect(await rig.record('renamed')).toMatchObject({ jid: jid(1), duplicateOf: null, entry: { group: 'renamed' } });
  });
});
