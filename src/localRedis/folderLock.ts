/**
 * A lock on a folder, for processes of one machine that may be killed at any line.
 *
 * Node.js has no flock, and a lock file left by a dead owner cannot be replaced safely: between reading it and removing it,
 * another process may have taken the lock. So no process removes another's file to make room. A lock is a symbolic link
 * `lock.<number>` whose target names the owner; it is created in one atomic step, and only if it does not exist:
 * - a process that finds the owner of the highest link dead creates the next number, which only one can;
 * - it owns the folder if its number is the highest: a process that acted on an older view sees a higher one;
 * - on release, the highest link stays and names no process. Otherwise numbers would start again, and an older view could be
 *   the highest. The owner removes lower ones.
 */
import { readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessIdentity } from './process.ts';

export type FolderLock = { readonly taken: true; release(): void } | { readonly taken: false; readonly by: number };

/** Throws what the file system throws, and after 100 attempts, if others keep taking and releasing the lock. */
export function lockFolder(folder: string): FolderLock {
  for (let attempt = 0; attempt < 100; attempt++) {
    const newest = numbersIn(folder).at(-1) ?? 0;
    const owner = newest === 0 ? null : ownerOf(folder, newest);
    if (owner !== null && isRunning(owner)) return { taken: false, by: owner.pid };
    const mine = newest + 1;
    if (!claim(folder, mine)) continue;
    if (numbersIn(folder).at(-1) !== mine) continue;
    for (const number of numbersIn(folder)) if (number < mine) rmSync(join(folder, `lock.${number}`), { force: true });
    return { taken: true, release: () => release(folder, mine) };
  }
  throw new Error(`the lock of ${folder} keeps changing owners`);
}

/** Ascending. */
function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .flatMap((name) => /^lock\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function ownerOf(folder: string, number: number): ProcessIdentity | null {
  try {
    const [pid, startedAt] = readlinkSync(join(folder, `lock.${number}`)).split('@');
    return /^[1-9]\d*$/.test(pid ?? '') ? { pid: Number(pid), startedAt: startedAt || null } : null;
  } catch {
    return null;
  }
}

function claim(folder: string, number: number): boolean {
  const { pid, startedAt } = identifyProcess(process.pid);
  try {
    symlinkSync(`${pid}@${startedAt ?? ''}`, join(folder, `lock.${number}`));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function release(folder: string, mine: number): void {
  const free = join(folder, 'lock.free');
  rmSync(free, { force: true });
  symlinkSync('free', free);
  renameSync(free, join(folder, `lock.${mine}`));
}
