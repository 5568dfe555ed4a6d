/** Edits of included files, which come and go. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { watchConfig } from '../../src/config/watch.ts';

const group = (id: string, n: number, every = '1d') =>
  `  - { id: ${id}, identifier: 12036340628900507${n}@g.us, every: ${every} }\n`;
const main = `instances: [{ name: bot, tokenEnv: TOKEN }]\ninclude: groups/*.yaml\ngroups:\n${group('own', 1)}`;
const a = `groups:\n${group('a1', 2)}${group('a2', 3)}`;
const b = `groups:\n${group('b1', 4)}`;

/** A main file that includes `a.yaml` and `b.yaml`. Polls every 2.5 s like the worker, with a clock that the test moves. */
async function watching() {
  const folder = await mkdtemp(join(tmpdir(), 'invite-rotator-watch-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  await mkdir(join(folder, 'groups'));
  await write('rotation.yaml', main);
  await write('groups/a.yaml', a);
  await write('groups/b.yaml', b);
  let nowMs = 0;
  const watched = await watchConfig(join(folder, 'rotation.yaml'), { clock: () => nowMs });
  if (!watched.ok) throw new Error('the files are broken');
  const { watcher } = watched;
  /** Polls for so long. Returns what the polls noticed. */
  async function look(ms: number) {
    const noticed: string[] = [];
    for (const until = nowMs + ms; nowMs < until; ) {
      nowMs += 2_500;
      const polled = await watcher.poll();
      if (polled.status === 'broken') noticed.push(...polled.problems.map(({ file, line }) => `${file}:${line}`));
      else if (polled.status === 'changed') noticed.push('changed');
    }
    return noticed.map((one) => one.replace(`${folder}/`, ''));
  }
  return { folder, watcher, write, look, ids: () => watcher.current.groups.map(({ id }) => id) };
}

it('notices an included file that changes, appears, vanishes or gets another name', async () => {
  const { folder, watcher, write, look, ids } = await watching();
  expect(ids()).toEqual(['own', 'a1', 'a2', 'b1']);
  expect(await look(20_000)).toEqual([]);
  const { hash } = watcher.current;
  await write('groups/a.yaml', `${a}${group('a3', 5)}`);
  expect(await watcher.isEdited()).toBe(true);
  expect(await look(20_000)).toEqual(['changed']);
  expect(watcher.current.hash).not.toBe(hash);
  await write('groups/c.yaml', `groups:\n${group('c1', 6)}`);
  expect(await look(20_000)).toEqual(['changed']);
  await rm(join(folder, 'groups/b.yaml'));
  expect(await look(20_000)).toEqual(['changed']);
  expect(ids()).toEqual(['own', 'a1', 'a2', 'a3', 'c1']);
  await rename(join(folder, 'groups/a.yaml'), join(folder, 'groups/z.yaml'));
  expect(await look(20_000)).toEqual(['changed']);
  expect(ids()).toEqual(['own', 'c1', 'a1', 'a2', 'a3']);
  expect(await watcher.isEdited()).toBe(false);
});

it.each([
  ['cut at a line end', (write: Write) => write('groups/a.yaml', a.slice(0, a.indexOf('  - { id: a2')))],
  ['empty', (write: Write) => write('groups/a.yaml', '')],
  ['away', (_: Write, folder: string) => rm(join(folder, 'groups/a.yaml'))],
  ['away with its folder', (_: Write, folder: string) => rm(join(folder, 'groups'), { recursive: true })],
])('ignores a file that is %s for less than ten seconds', async (_name, damage) => {
  const { folder, write, look, ids } = await watching();
  for (const ms of [7_500, 5_000]) {
    await damage(write, folder);
    expect(await look(ms)).toEqual([]);
    await mkdir(join(folder, 'groups'), { recursive: true });
    await write('groups/a.yaml', a);
    await write('groups/b.yaml', b);
    expect(await look(20_000)).toEqual([]);
  }
  expect(ids()).toEqual(['own', 'a1', 'a2', 'b1']);
});

type Write = (name: string, text: string) => Promise<void>;

it('keeps the last valid configuration while a file is broken, or a folder is away', async () => {
  const { folder, write, look, ids } = await watching();
  await write('groups/b.yaml', `${b}${group('b2', 5, 'soon')}`);
  expect(await look(20_000)).toEqual(['groups/b.yaml:3']);
  await rename(join(folder, 'groups'), join(folder, 'elsewhere'));
  expect(await look(20_000)).toEqual(['rotation.yaml:2']);
  expect(ids()).toEqual(['own', 'a1', 'a2', 'b1']);
  await rename(join(folder, 'elsewhere'), join(folder, 'groups'));
  await write('groups/b.yaml', `${b}${group('b2', 5)}`);
  expect(await look(20_000)).toEqual(['changed']);
  expect(ids()).toContain('b2');
});

it('waits for files that an edit of the main file includes', async () => {
  const { folder, write, look, ids } = await watching();
  await mkdir(join(folder, 'teams'));
  await write('teams/t.yaml', `groups:\n${group('t1', 5)}`);
  await write('rotation.yaml', main.replace('groups/*.yaml', '[groups/a.yaml, teams/*.yaml]'));
  expect(await look(7_500)).toEqual([]);
  await write('teams/t.yaml', `groups:\n${group('t1', 5)}${group('t2', 6)}`);
  expect(await look(10_000)).toEqual([]);
  expect(await look(2_500)).toEqual(['changed']);
  expect(ids()).toEqual(['own', 'a1', 'a2', 't1', 't2']);
});

it('says nothing of a file whose comments change, and keeps the same groups', async () => {
  const { watcher, write, look } = await watching();
  const { groups, hash } = watcher.current;
  await write('groups/a.yaml', `# a comment\n${a}`);
  expect(await look(20_000)).toEqual([]);
  expect(watcher.current.groups).toBe(groups);
  expect(watcher.current.hash).not.toBe(hash);
});
