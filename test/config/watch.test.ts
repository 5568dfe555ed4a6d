import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { type WatchOptions, watchConfig } from '../../src/config/watch.ts';

const text = (every: string) => `instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: ${every} }]
`;

async function watched(content: string, name = 'rotation.yaml') {
  const folder = await mkdtemp(join(tmpdir(), 'invite-rotator-watch-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, name);
  await writeFile(file, content);
  return { folder, file };
}

/** By default, every edit counts at once. */
async function watcherOf(file: string, options: WatchOptions = { stableMs: 0 }) {
  const watched = await watchConfig(file, options);
  if (!watched.ok) throw new Error('the file is broken');
  return watched.watcher;
}

it('reports an edit once', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
  await writeFile(file, text('2d'));
  expect(await watcher.poll()).toMatchObject({
    status: 'changed',
    config: { groups: [{ schedule: { everyMs: 172_800_000 } }] },
  });
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
});

it('notices a file that an editor replaced', async () => {
  const { folder, file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await writeFile(join(folder, 'new'), text('2d'));
  await rename(join(folder, 'new'), file);
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('notices a symbolic link that moved to another folder, as for a Kubernetes ConfigMap', async () => {
  const { folder } = await watched(text('1d'));
  for (const [name, every] of [
    ['v1', '1d'],
    ['v2', '2d'],
  ] as const) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'rotation.yaml'), text(every));
  }
  await symlink('v1', join(folder, 'data'));
  const watcher = await watcherOf(join(folder, 'data', 'rotation.yaml'));
  await symlink('v2', join(folder, 'next'));
  await rename(join(folder, 'next'), join(folder, 'data'));
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('reports a broken edit once, and its repair', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await writeFile(file, text('soon'));
  expect(await watcher.poll()).toMatchObject({ status: 'broken', problems: [{ line: 2, path: 'groups[0].every' }] });
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
  await writeFile(file, text('3d'));
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('reports a missing file as a broken edit, and notices its return', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await watcher.poll();
  await rm(file);
  expect(await watcher.poll()).toMatchObject({
    status: 'broken',
    problems: [{ message: expect.stringContaining('no such file') }],
  });
  await writeFile(file, text('2d'));
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('ignores an edit that changes no setting', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await watcher.poll();
  const { hash } = watcher.current;
  await writeFile(file, `# a comment\n${text('1d')}`);
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
  const { stdout } = await promisify(execFile)('sha256sum', [file]);
  expect(watcher.current.hash).not.toBe(hash);
  expect(watcher.current.hash).toBe(stdout.slice(0, 12));
});

it('reports why a file cannot be read', async () => {
  const { folder, file } = await watched(text('1d'));
  const message = async (path: string) => {
    const loaded = await loadConfig(path);
    return loaded.ok ? '' : loaded.problems[0]?.message;
  };
  expect(await message(join(folder, 'nothing.yaml'))).toBe(
    'there is no such file: run "invite-rotator init", or name the file with --config or ROTATOR_CONFIG',
  );
  expect(await message(folder)).toBe('cannot be read: it is a folder');
  await writeFile(file, Buffer.from([0x61, 0xff, 0xfe]));
  expect(await message(file)).toBe('is not UTF-8 text');
});

it('keeps the last valid configuration as the current one', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  const everyMs = () => watcher.current.groups[0]?.schedule;
  await writeFile(file, text('soon'));
  await watcher.poll();
  expect(everyMs()).toMatchObject({ everyMs: 86_400_000 });
  await writeFile(file, text('2d'));
  await watcher.poll();
  expect(everyMs()).toMatchObject({ everyMs: 172_800_000 });
});

it('reports every broken edit, even one with the same mistake, and the return of the old text', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  for (const comment of ['# one', '# two']) {
    await writeFile(file, `${text('soon')}${comment}\n`);
    expect(await watcher.poll()).toMatchObject({ status: 'broken' });
    expect(await watcher.poll()).toEqual({ status: 'unchanged' });
  }
  await writeFile(file, text('1d'));
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('notices a second edit of the same length right after the first', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  for (const every of ['2d', '3d', '4d', '5d']) {
    await writeFile(file, text(every));
    expect(await watcher.poll()).toMatchObject({ status: 'changed' });
  }
});

describe('a file that is being written', () => {
  const lines = `instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1d }
groups:
  - { id: vip, identifier: 120363406289005073@g.us }
  - { id: team, identifier: "https://chat.whatsapp.com/DEF456UVW" }
  - id: archive
    identifier: 120363406289005074@g.us
    enabled: false
`;
  /** Polls every 2.5 s like the worker, with a clock that the test moves. */
  async function looking() {
    const { file } = await watched(lines);
    let nowMs = 0;
    const watcher = await watcherOf(file, { clock: () => nowMs });
    return {
      watcher,
      write: (content: string) => writeFile(file, content),
      /** The results of the polls in the next `ms`. */
      async look(ms: number) {
        const seen: string[] = [];
        for (const until = nowMs + ms; nowMs < until; ) {
          nowMs += 2_500;
          seen.push((await watcher.poll()).status);
        }
        return seen;
      },
    };
  }
  const unchanged = (looks: number) => Array(looks).fill('unchanged');
  const ids = ({ current }: Awaited<ReturnType<typeof watcherOf>>) => current.groups.map(({ id }) => id);

  it.each([
    ['cut at a line end', lines.slice(0, lines.indexOf('  - id: archive'))],
    ['cut before the line that disables a group', lines.slice(0, lines.indexOf('    enabled'))],
    ['cut in the middle of a line', lines.slice(0, lines.indexOf('406289005074'))],
    ["without one character of a group's link", lines.replace('DEF456UVW', 'DEF456UV')],
    ['empty', ''],
  ])('is not an edit while it is %s', async (_name, half) => {
    const { watcher, write, look } = await looking();
    for (const ms of [7_500, 5_000]) {
      await write(half);
      expect(await look(ms)).toEqual(unchanged(ms / 2_500));
      await write(lines);
      expect(await look(20_000)).toEqual(unchanged(8));
    }
    expect(ids(watcher)).toEqual(['vip', 'team', 'archive']);
  });
  it('is an edit after ten seconds without a change, and is reported once', async () => {
    const { write, look } = await looking();
    await write(lines.replace('1d', '2d'));
    expect(await look(12_500)).toEqual([...unchanged(4), 'changed']);
    expect(await look(20_000)).toEqual(unchanged(8));
  });
  it('counts from its last change, and is never applied in part', async () => {
    const { watcher, write, look } = await looking();
    const edited = lines.replace('1d', '2d').replace('id: team', 'id: crew');
    await write(edited.slice(0, edited.indexOf('  - id: archive')));
    expect(await look(7_500)).toEqual(unchanged(3));
    await write(edited);
    expect(await look(10_000)).toEqual(unchanged(4));
    expect(ids(watcher)).toContain('team');
    expect(await look(2_500)).toEqual(['changed']);
    expect(ids(watcher)).toEqual(['vip', 'crew', 'archive']);
  });
  it('is never an edit while it keeps changing back and forth', async () => {
    const { write, look } = await looking();
    for (let i = 0; i < 4; i++) {
      await write(lines.replace('1d', '2d'));
      expect(await look(5_000)).toEqual(unchanged(2));
      await write(lines);
      expect(await look(5_000)).toEqual(unchanged(2));
    }
  });
  it('is an edit at once if a person says that it is complete', async () => {
    const { watcher, write, look } = await looking();
    await write(lines.replace('1d', '2d'));
    expect(await look(2_500)).toEqual(['unchanged']);
    expect(await watcher.poll({ atOnce: true })).toMatchObject({ status: 'changed' });
    expect(await look(20_000)).toEqual(unchanged(8));
  });
  it('is reported as broken only if it stays broken', async () => {
    const { watcher, write, look } = await looking();
    await write(`${lines}  - { id: `);
    expect(await look(12_500)).toEqual([...unchanged(4), 'broken']);
    expect(ids(watcher)).toEqual(['vip', 'team', 'archive']);
  });
});
