/**
 * The server process of the embedded Redis: how it is run, how to tell whether it is ready, and what it said at its
 * end. Knows nothing of owners.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStartError } from '../redis/errors.ts';

/** Without an answer for this long, it will not come up; loading its data counts as an answer. */
const startMs = 30_000;
const answerMs = 1_000;

export const socketName = 'redis.sock';
const logName = 'redis.log';

/**
 * Data is on disk within a second of a write (`appendfsync everysec`; `always` would cost every commit a disk's round
 * trip): a power cut may lose that second, the end of our process or of the server's nothing.
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
/** What the server gets of our environment: no token of ours is among it. */
const inherited = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'TZ'];

/** In a process group of its own: a Ctrl-C in the terminal reaches us, and we stop Redis last. */
export function launch(binary: string, folder: string, env: NodeJS.ProcessEnv): ChildProcess {
  const args = Object.entries({ ...settings, dir: folder }).flatMap(([name, value]) => [`--${name}`, value]);
  // What it says before it has opened its log itself.
  const log = openSync(join(folder, logName), 'a', 0o600);
  const kept = Object.fromEntries(inherited.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const child = spawn(binary, args, { cwd: folder, detached: true, stdio: ['ignore', log, log], env: kept });
  closeSync(log);
  child.on('error', () => {});
  child.unref();
  return child;
}

/** Resolves once it answers and has loaded its data; rejects with what it said, if it ended or kept silent. */
export async function waitUntilReady(path: string, alive: () => boolean, lastWords: () => string): Promise<void> {
  let deadline = performance.now() + startMs;
  while (performance.now() < deadline) {
    const answer = await ask(path, 'PING', /^[+-].*\r\n/);
    if (answer?.startsWith('+PONG')) return;
    if (answer?.startsWith('-LOADING')) deadline = performance.now() + startMs;
    if (!alive()) throw new RedisStartError(`the embedded Redis ended at once: ${lastWords()}`);
    await sleep(25);
  }
  throw new RedisStartError(`the embedded Redis did not answer within ${startMs / 1000} s: ${lastWords()}`);
}

/** Number of the process that serves a socket; null: none does. */
export async function pidAt(path: string): Promise<number | null> {
  const answer = await ask(path, 'INFO server', /process_id:\d+\r\n|^-.*\r\n/);
  const pid = /process_id:(\d+)/.exec(answer ?? '')?.[1];
  return pid === undefined ? null : Number(pid);
}

/** One command, as a line; what came back up to what was waited for. null: nobody there, or no answer in time. */
function ask(path: string, command: string, enough: RegExp): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let got = '';
    const end = (answer: string | null) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(answerMs, () => end(null));
    socket.on('error', () => end(null));
    socket.on('close', () => end(null));
    socket.on('connect', () => socket.write(`${command}\r\n`));
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1');
      if (enough.test(got)) end(got);
    });
  });
}

export function logSize(folder: string): number {
  return statSync(join(folder, logName), { throwIfNoEntry: false })?.size ?? 0;
}

/** The last warning in the server's log after that many bytes, or the last line where there is none. */
export function lastWordsIn(folder: string, since: number): string {
  const file = join(folder, logName);
  try {
    const lines = readFileSync(file).subarray(since).toString('utf8').trim().split('\n');
    const warnings = lines.filter((line) => / # /.test(line));
    const last = (warnings.at(-1) ?? lines.at(-1) ?? '').replace(/^\d+:\w .*? [#*.-] /, '');
    return last === '' ? `it said nothing (see ${file})` : `${last} (see ${file})`;
  } catch {
    return `it left no log in ${folder}`;
  }
}
