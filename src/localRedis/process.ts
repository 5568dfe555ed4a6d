/**
 * Identifies processes beyond their id, which the system may give to another process later. Linux tells when a process
 * started in /proc; elsewhere `ps` does, to the second. Where neither does, the id alone counts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in a form that only this system can compare; null where that is unknown. */
  readonly startedAt: string | null;
}

export function identifyProcess(pid: number): ProcessIdentity {
  return { pid, startedAt: inspect(pid).startedAt };
}

export function isRunning({ pid, startedAt }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = inspect(pid);
  return !now.hasEnded && (startedAt === null || now.startedAt === startedAt);
}

/** Sends SIGTERM, and SIGKILL if the process still runs after `timeoutMs`. A process that got its id is left alone. */
export async function endProcess(identity: ProcessIdentity, timeoutMs: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRunning(identity)) return;
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    const deadline = performance.now() + timeoutMs;
    while (isRunning(identity) && performance.now() < deadline) await sleep(20);
  }
}

/**
 * Null where this system does not tell. An id from another container names no process here, or one that runs in another
 * folder.
 */
export function workingFolder(pid: number): string | null {
  if (!hasProc) return null;
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

const hasProc = existsSync('/proc/self/stat');
/** Start times count from the boot, so the same id and time may occur once per boot. */
const boot = hasProc ? read('/proc/sys/kernel/random/boot_id').trim().slice(0, 8) : '';

function inspect(pid: number): { hasEnded: boolean; startedAt: string | null } {
  if (!hasProc) {
    const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5_000 });
    return { hasEnded: false, startedAt: stdout?.trim() || null };
  }
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return { hasEnded: false, startedAt: null };
  // The name in field 2 may contain spaces. After it come the state (field 3) and, as field 22, the start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { hasEnded: fields[0] === 'Z' || fields[0] === 'X', startedAt: `${boot}:${fields[19]}` };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
