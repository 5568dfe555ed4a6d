/**
 * The server process of the embedded Redis: how it is launched, how to tell that it is ready, and what it logged last. It
 * knows nothing of owners.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { RedisStartError, refusalOf } from '../redis/errors.ts';
import { askOnce } from '../redis/target.ts';

/** A server that does not answer for this long will not come up. While it loads its data, it answers. */
const startMs = 30_000;
const replyMs = 1_000;

export const socketName = 'redis.sock';
const logName = 'redis.log';

/**
 * Writes are on disk within a second (`appendfsync everysec`; `always` would cost each commit a disk's round trip). So a
 * power cut may lose that second; the end of our process or of the server loses nothing.
 */
const settings: Readonly<Record<string, string>> = {
  port: '0',
  unixsocket: socketName,
  unixsocketperm: '700',
  appendonly: 'yes',
  appendfsync: 'everysec',
  save: '',
  'maxmemory-policy': 'noeviction',
  logfile: logName,
  daemonize: 'no',
};
/** The only variables that the server inherits: it sees none of our tokens. */
const inherited = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'TZ'];

/** The server has a process group of its own: Ctrl-C in the terminal reaches only us, and we stop Redis last. */
export function launch(binary: string, folder: string, env: NodeJS.ProcessEnv): ChildProcess {
  const args = Object.entries({ ...settings, dir: folder }).flatMap(([name, value]) => [`--${name}`, value]);
  // For what the server prints before it has opened its log.
  const log = openSync(join(folder, logName), 'a', 0o600);
  const ownEnv = Object.fromEntries(inherited.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const child = spawn(binary, args, { cwd: folder, detached: true, stdio: ['ignore', log, log], env: ownEnv });
  closeSync(log);
  child.on('error', () => {});
  child.unref();
  return child;
}

/** Resolves when the server answers and has loaded its data. Rejects with `lastLog()` if it ends or does not answer. */
export async function waitUntilReady(path: string, isAlive: () => boolean, lastLog: () => string): Promise<void> {
  let deadline = performance.now() + startMs;
  while (performance.now() < deadline) {
    const reply = await ask(path, (client) => client.ping());
    if (reply === 'PONG') return;
    if (refusalOf(reply) === 'LOADING') deadline = performance.now() + startMs;
    if (!isAlive()) throw new RedisStartError(`the embedded Redis exited at once: ${lastLog()}`);
    await sleep(25);
  }
  throw new RedisStartError(`the embedded Redis did not answer within ${startMs / 1000} s: ${lastLog()}`);
}

/** The id of the process that serves a socket, or null if none does. */
export async function pidAt(path: string): Promise<number | null> {
  const info = await ask(path, (client) => client.info('server'));
  const pid = /process_id:(\d+)/.exec(String(info))?.[1];
  return pid === undefined ? null : Number(pid);
}

function ask(path: string, command: (client: Redis) => Promise<string>): Promise<string | Error> {
  return askOnce({ path, connectTimeout: replyMs, commandTimeout: replyMs }, command);
}

export function logSize(folder: string): number {
  return statSync(join(folder, logName), { throwIfNoEntry: false })?.size ?? 0;
}

/** The last warning in the server's log after the first `since` bytes, or the last line if there is no warning. */
export function lastLogLine(folder: string, since: number): string {
  const file = join(folder, logName);
  try {
    const lines = readFileSync(file).subarray(since).toString('utf8').trim().split('\n');
    const line = lines.findLast((one) => / # /.test(one)) ?? lines.at(-1) ?? '';
    const message = line.replace(/^\d+:\w .*? [#*.-] /, '');
    return message === '' ? `it logged nothing (see ${file})` : `${message} (see ${file})`;
  } catch {
    return `it wrote no log in ${folder}`;
  }
}
