import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { watchConfig } from '../../src/config/watch.ts';

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

async function watcherOf(file: string) {
  const watched = await watchConfig(file);
  if (!watched.ok) throw new Error('the file is broken');
  return watched.watcher;
}

it('sees an edit once', async () => {
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

it('sees a file that an editor put in the place of the old one', async () => {
  const { folder, file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await writeFile(join(folder, 'new'), text('2d'));
  await rename(join(folder, 'new'), file);
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('sees a link that was moved to another folder, as Kubernetes does with a ConfigMap', async () => {
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

it('tells a broken edit once, and sees when it is mended', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await writeFile(file, text('soon'));
  expect(await watcher.poll()).toMatchObject({ status: 'broken', problems: [{ line: 2, path: 'groups[0].every' }] });
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
  await writeFile(file, text('3d'));
  expect(await watcher.poll()).toMatchObject({ status: 'changed' });
});

it('takes a file that is gone for a broken edit, and finds it again', async () => {
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

it('does not call a file changed that was only touched', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  await watcher.poll();
  await writeFile(file, `# a comment\n${text('1d')}`);
  expect(await watcher.poll()).toEqual({ status: 'unchanged' });
});

it('says what keeps a file from being read', async () => {
  const { folder, file } = await watched(text('1d'));
  const message = async (path: string) => {
    const loaded = await loadConfig(path);
    return loaded.ok ? '' : loaded.problems[0]?.message;
  };
  expect(await message(join(folder, 'nothing.yaml'))).toBe(
    'there is no such file: name it with --config or ROTATOR_CONFIG',
  );
  expect(await message(folder)).toBe('cannot be read: it is a folder');
  await writeFile(file, Buffer.from([0x61, 0xff, 0xfe]));
  expect(await message(file)).toBe('is not UTF-8 text');
});

it('keeps the last good configuration as the current one', async () => {
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

it('tells every broken edit, also one with the same mistake, and that the old text is back', async () => {
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

it('sees a second edit of the same length right after the first', async () => {
  const { file } = await watched(text('1d'));
  const watcher = await watcherOf(file);
  for (const every of ['2d', '3d', '4d', '5d']) {
    await writeFile(file, text(every));
    expect(await watcher.poll()).toMatchObject({ status: 'changed' });
  }
});
