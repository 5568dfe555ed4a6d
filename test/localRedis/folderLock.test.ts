import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { lockFolder } from '../../src/localRedis/folderLock.ts';

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-lock-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

it('has one owner, and is free again after its release', () => {
  const folder = makeFolder();
  const lock = lockFolder(folder);
  expect(lock.taken).toBe(true);
  expect(lockFolder(folder)).toEqual({ taken: false, by: process.pid });
  if (lock.taken) lock.release();
  expect(lockFolder(folder).taken).toBe(true);
  expect(readdirSync(folder)).toHaveLength(1);
});

it.each([
  ['a process that has ended', '4194304999@x'],
  ['a process whose id another one has now', `${process.pid}@long ago`],
  ['no process at all', 'rubbish'],
  ['a whole process group', '0@'],
])('is taken over from %s', (_case, owner) => {
  const folder = makeFolder();
  symlinkSync(owner, join(folder, 'lock.7'));
  expect(lockFolder(folder).taken).toBe(true);
  expect(readdirSync(folder)).toEqual(['lock.8']);
});

/** How often each of them takes the lock. */
const times = 50;
/** Takes and releases the lock repeatedly, creates a folder while it has the lock, and exits with the lock taken. */
const contender = `
  import { mkdirSync, rmdirSync } from 'node:fs';
  import { lockFolder } from ${JSON.stringify(new URL('../../dist-dev/src/localRedis/folderLock.js', import.meta.url).href)};
  const [folder, room] = process.argv.slice(1);
  for (let held = 0; held < ${times}; ) {
    const lock = lockFolder(folder);
    if (!lock.taken) continue;
    mkdirSync(room);
    rmdirSync(room);
    held += 1;
    if (held < ${times}) lock.release();
  }
  console.log('done');`;

it('never has two owners, although many processes compete and die with it', async () => {
  const folder = makeFolder();
  const room = join(makeFolder(), 'room');
  const contend = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', contender, folder, room]);
    let output = '';
    let failed = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      failed += chunk;
    });
    const [code] = await once(child, 'close');
    // Two owners at once would both try to create the folder, and one would fail.
    expect(failed).toBe('');
    expect(code).toBe(0);
    expect(output).toBe('done\n');
  };
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      await contend();
      await contend();
    }),
  );
});
