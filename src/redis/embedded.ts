/**
 * The embedded Redis: a server of our own for whoever has none, with an append-only file in a folder, on a Unix socket
 * in that folder that only its owner can reach. Written to disk every second, so a power cut costs a second at most;
 * the end of our process, whatever ends it, costs nothing.
 *
 * One owner at a time. If the owner was killed, its server is still running: the next one takes it over.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { findServer, RedisStartError } from './findServer.ts';
import { isRunning, markOf } from './process.ts';

export interface EmbeddedRedis {
  /** The socket's path. */
  readonly path: string;
  readonly pid: number;
  /** true: it was left behind by a process that was killed. */
  readonly adopted: boolean;
  /** Ends the server, which writes what it has to disk first. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** One line for the user. */
  readonly say: (line: string) => void;
}

const mark = z.object({ pid: z.int(), startedAt: z.string().nullable() });
/** `embedded.json` in the folder: who runs it, and which server. */
const ownership = z.object({ owner: mark, server: mark.nullable() });
type Ownership = z.infer<typeof ownership>;

const startMs = 30_000;
const stopMs = 15_000;
/** Long enough for another that starts at the same time to have removed a note it found out of date. */
const settleMs = 30;
/** Longer paths do not fit into a socket's address. */
const longestPath = 100;

export async function startEmbeddedRedis({ dataDir, env, say }: EmbeddedOptions): Promise<EmbeddedRedis> {
  const folder = resolve(dataDir);
  makeFolder(folder);
  const path = embeddedSocket(folder);
  const left = await takeOwnership(folder);
  try {
    if (left !== null && isRunning(left)) {
      await waitUntilReady(path, folder, () => isRunning(left));
      writeOwnership(folder, { owner: markOf(process.pid), server: left });
      return { path, pid: left.pid, adopted: true, stop: () => stop(folder, left.pid) };
    }
    rmSync(join(folder, 'redis.sock'), { force: true });
    const server = await findServer({ env, say });
    const child = launch(server, folder);
    const pid = child.pid ?? 0;
    writeOwnership(folder, { owner: markOf(process.pid), server: markOf(pid) });
    await waitUntilReady(path, folder, () => child.exitCode === null && child.signalCode === null);
    return { path, pid, adopted: false, stop: () => stop(folder, pid) };
  } catch (error) {
    rmSync(join(folder, 'embedded.json'), { force: true });
    throw error;
  }
}

/** The socket of a folder's server, in the shortest form that leads there from here. */
export function embeddedSocket(dataDir: string): string {
  const absolute = join(resolve(dataDir), 'redis.sock');
  const nearby = relative(process.cwd(), absolute);
  const path = nearby.length < absolute.length ? nearby : absolute;
  if (Buffer.byteLength(path) <= longestPath) return path;
  throw new RedisStartError(`the path of ${absolute} is too long for a socket: start nearer to it, or set REDIS_URL`);
}

/** Whether a server that belongs to a running `start` is to be found there. */
export function isEmbeddedRunning(dataDir: string): boolean {
  const owned = readOwnership(resolve(dataDir));
  return owned?.server != null && isRunning(owned.server);
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!statSync(folder).isDirectory()) throw new RedisStartError(`${folder} is not a folder`);
  } catch (error) {
    if (error instanceof RedisStartError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EEXIST' || code === 'ENOTDIR' ? 'there is a file of that name' : code;
    throw new RedisStartError(`cannot use the folder ${folder} for the embedded Redis: ${why}`);
  }
}

/**
 * Makes this process the folder's owner, or throws if a running one is. Returns the server that a dead owner left. Of
 * two that start together, the one whose note is still there a moment later has won.
 */
async function takeOwnership(folder: string): Promise<Ownership['server']> {
  const file = join(folder, 'embedded.json');
  for (let tries = 0; tries < 10; tries++) {
    const known = readOwnership(folder);
    if (known !== null && known.owner.pid !== process.pid && isRunning(known.owner)) {
      throw new RedisStartError(
        `${folder} is in use by another invite-rotator (process ${known.owner.pid}): stop it, or set REDIS_URL for both`,
      );
    }
    rmSync(file, { force: true });
    try {
      const handle = openSync(file, 'wx', 0o600);
      const mine: Ownership = { owner: markOf(process.pid), server: known?.server ?? null };
      writeSync(handle, JSON.stringify(mine));
      closeSync(handle);
      await sleep(settleMs);
      if (readOwnership(folder)?.owner.pid === process.pid) return mine.server;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') throw new RedisStartError(`cannot write to the folder ${folder}: ${code}`);
    }
  }
  throw new RedisStartError(`${folder} is being taken by another invite-rotator`);
}

function readOwnership(folder: string): Ownership | null {
  try {
    return ownership.parse(JSON.parse(readFileSync(join(folder, 'embedded.json'), 'utf8')));
  } catch {
    return null;
  }
}

function writeOwnership(folder: string, owned: Ownership): void {
  writeFileSync(join(folder, 'embedded.json'), JSON.stringify(owned), { mode: 0o600 });
}

/** In a process group of its own: a Ctrl-C in the terminal reaches us, and we stop Redis last. */
function launch(server: string, folder: string): ChildProcess {
  const settings: Record<string, string> = {
    port: '0',
    unixsocket: 'redis.sock',
    unixsocketperm: '700',
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    logfile: 'redis.log',
    daemonize: 'no',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(server, args, { cwd: folder, detached: true, stdio: 'ignore' });
  child.on('error', () => {});
  child.unref();
  return child;
}

async function waitUntilReady(path: string, folder: string, alive: () => boolean): Promise<void> {
  const deadline = Date.now() + startMs;
  while (Date.now() < deadline) {
    if (!alive()) throw new RedisStartError(`the embedded Redis ended at once: ${lastWords(folder)}`);
    if (await answers(path)) return;
    await sleep(25);
  }
  throw new RedisStartError(`the embedded Redis was not ready within ${startMs / 1000} s: ${lastWords(folder)}`);
}

/** PING is refused while the append-only file is still being loaded. */
async function answers(path: string): Promise<boolean> {
  const client = new Redis({ path, lazyConnect: true, retryStrategy: () => null, connectTimeout: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}

function lastWords(folder: string): string {
  try {
    const lines = readFileSync(join(folder, 'redis.log'), 'utf8').trim().split('\n').slice(-2);
    return `${lines.map((line) => line.replace(/^\d+:\w \S+ \S+ \S+ \S+ /, '')).join(' / ')} (see ${join(folder, 'redis.log')})`;
  } catch {
    return `it left no log in ${folder}`;
  }
}

async function stop(folder: string, pid: number): Promise<void> {
  const server = markOf(pid);
  try {
    process.kill(pid, 'SIGTERM');
    const deadline = Date.now() + stopMs;
    while (isRunning(server) && Date.now() < deadline) await sleep(20);
    if (isRunning(server)) process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
  rmSync(join(folder, 'embedded.json'), { force: true });
}
