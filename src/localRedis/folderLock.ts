/**
 * One owner of a folder at a time, among processes of one machine that may be killed at any line.
 *
 * Node.js has no flock, and a lock file that a dead owner left cannot be replaced safely: between finding it out of date
 * and removing it, another may have taken the lock. So nobody ever takes another's file away to make room. A lock is a
 * symbolic link `lock.<number>` that names its owner (made and filled in one atomic step, and only where there is none):
 * - whoever finds the newest one's owner dead makes the next number, which only one can;
 * - it then owns the folder if that is the highest: whoever went by an older view sees a higher one;
 * - the highest stays when its owner goes, with nobody's name in it, or else numbers would begin anew and an older view
 *   could be the highest; lower ones are removed by the owner.
 */
import { readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessIdentity } from './process.ts';

export type FolderLock = { readonly taken: true; release(): void } | { readonly taken: false; readonly by: number };

/** Throws what the file system throws, and after 100 tries (others take and release it all the time) in vain. */
export function lockFolder(folder: string): FolderLock {
  for (let tries = 0; tries < 100; tries++) {
    const newest = numbersIn(folder).at(-1) ?? 0;
    const owner = newest === 0 ? null : ownerOf(folder, newest);
    if (owner !== null && isRunning(owner)) return { taken: false, by: owner.pid };
    const mine = newest + 1;
    if (!claim(folder, mine)) continue;
    if (numbersIn(folder).at(-1) !== mine) continue;
    for (const number of numbersIn(folder)) if (number < mine) rmSync(join(folder, `lock.${number}`), { force: true });
    return { taken: true, release: () => release(folder, mine) };
  }
  throw new Error(`the lock of ${folder} changes hands all the time`);
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
