/**
 * Facts about processes that `kill -0` alone does not tell. Linux tells a process's start from /proc; elsewhere `ps` is
 * asked, to the second. Where neither answers, a number given to another process since is taken for the first one.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Marks one run of a process: a number that was given to another process since does not match. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in terms of this system alone; null where that cannot be read. */
  readonly startedAt: string | null;
}

export function identifyProcess(pid: number): ProcessIdentity {
  return { pid, startedAt: lookAt(pid).startedAt };
}

export function isRunning({ pid, startedAt }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = lookAt(pid);
  return !now.ended && (startedAt === null || now.startedAt === startedAt);
}

/** SIGTERM, and SIGKILL where that was not heeded within `patienceMs`. Touches no process but the one marked. */
export async function endProcess(mark: ProcessIdentity, patienceMs: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRunning(mark)) return;
    try {
      process.kill(mark.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    const deadline = performance.now() + patienceMs;
    while (isRunning(mark) && performance.now() < deadline) await sleep(20);
  }
}

/**
 * null: it cannot be told here. A number that a process of another container gave us is either none here, or that of
 * some other process, which its folder shows.
 */
export function workingFolder(pid: number): string | null {
  if (!withProc) return null;
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

const withProc = existsSync('/proc/self/stat');
/** Start times count from the boot, so two boots can hold the same number and time. */
const boot = withProc ? read('/proc/sys/kernel/random/boot_id').trim().slice(0, 8) : '';

function lookAt(pid: number): { ended: boolean; startedAt: string | null } {
  if (!withProc) {
    const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5_000 });
    return { ended: false, startedAt: stdout?.trim() || null };
  }
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return { ended: false, startedAt: null };
  // The name in field 2 may hold spaces, so it is cut off first: state is field 3, start time field 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { ended: fields[0] === 'Z' || fields[0] === 'X', startedAt: `${boot}:${fields[19]}` };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
