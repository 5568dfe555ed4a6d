/** Facts about processes that `kill -0` alone does not tell. */
import { readFileSync } from 'node:fs';

/** Marks one run of a process: a number that was given to another process since does not match. */
export interface ProcessMark {
  readonly pid: number;
  /** Kernel's start time of the process; null where it cannot be read. */
  readonly startedAt: string | null;
}

export function markOf(pid: number): ProcessMark {
  return { pid, startedAt: startTime(pid) };
}

export function isRunning({ pid, startedAt }: ProcessMark): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return startedAt === null || startTime(pid) === startedAt;
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold spaces, so it is cut off first. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended, whatever its number says.
    return fields[0] === 'Z' ? 'zombie' : (fields[19] ?? null);
  } catch {
    return null;
  }
}
