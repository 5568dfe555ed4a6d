/**
 * The embedded Redis: a server of our own for whoever has none, with an append-only file in a folder, on a Unix socket
 * in that folder that only its owner can reach; no TCP port.
 *
 * One owner at a time (`folderLock.ts`). If the owner was killed, its server is still running: the next owner takes it
 * over, so that no two servers ever write the same files. `embedded.json` in the folder tells which server that is, and
 * tells other commands where to find it. A server that ends while we run is started again.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { unlessAborted } from '../abort.ts';
import { RedisStartError } from '../redis/errors.ts';
import { findServer } from './findServer.ts';
import { lockFolder } from './folderLock.ts';
import { endProcess, identifyProcess, isRunning, type ProcessIdentity, workingFolder } from './process.ts';
import { lastWordsIn, launch, logSize, pidAt, socketName, waitUntilReady } from './server.ts';

/** Where `start` keeps the data, relative to the working directory. */
export const dataDir = 'data';

export interface EmbeddedRedis {
  /** The socket's path. */
  readonly path: string;
  readonly pid: number;
  /** true: it was left behind by a process that was killed. */
  readonly adopted: boolean;
  /** Ends the server, which writes what it has to disk first, and gives the folder free. */
  stop(): Promise<void>;
  /** Tells the server to end, and waits for nothing: for a process that ends at once itself. */
  endAtOnce(): void;
}

export interface EmbeddedOptions {
  /** Made if it is missing, for its owner alone. */
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** One line for the user. */
  readonly say: (line: string) => void;
  /** Gives up starting: rejects with its reason, and leaves no server behind. */
  readonly signal?: AbortSignal;
  /** Called when the server has ended by itself, with what it said last. It is started again then. */
  readonly onDeath?: (pid: number, lastWords: string) => void;
  readonly onRestart?: (pid: number) => void;
  /** Called when it could not be started again; nothing is tried any more. */
  readonly onFailure?: (error: unknown) => void;
}

const mark = z.object({ pid: z.int().positive(), startedAt: z.string().nullable() });
/** `embedded.json`. server null: the owner was about to start one. */
const note = z.object({ owner: mark, server: mark.nullable() });
type Note = z.infer<typeof note>;

const stopMs = 15_000;
/** Between two looks whether the server still runs. */
const lookEveryMs = 1_000;
/** How long a server that was started, and whose owner died before noting it, may take to open its socket. */
const unnotedMs = 2_000;
/** Longer paths do not fit into a socket's address. */
const longestPath = 100;

/** Rejects with a `RedisStartError`. */
export async function startEmbeddedRedis(options: EmbeddedOptions): Promise<EmbeddedRedis> {
  const { dataDir, signal } = options;
  const folder = resolve(dataDir);
  const path = embeddedSocket(folder);
  const lock = takeFolder(folder);
  try {
    const left = await findLeftover(folder, path, signal);
    const watched = watchServer(left ?? (await startServer(folder, path, options)), { ...options, folder, path });
    let stopped: Promise<void> | null = null;
    const stop = async () => {
      await endProcess(await watched.stop(), stopMs);
      removeNote(folder);
      lock.release();
    };
    return {
      path,
      get pid() {
        return watched.server.pid;
      },
      adopted: left !== null,
      stop() {
        stopped ??= stop();
        return stopped;
      },
      endAtOnce() {
        try {
          if (stopped === null && isRunning(watched.server)) process.kill(watched.server.pid, 'SIGTERM');
        } catch {
          // It has ended just now.
        }
      },
    };
  } catch (error) {
    // The note stays: it may tell of a server that lives on without answering, and must not get a rival.
    lock.release();
    throw asStartError(error, folder);
  }
}

interface WatchOptions extends EmbeddedOptions {
  readonly folder: string;
  readonly path: string;
}

/** Starts the server again whenever it has ended by itself. */
function watchServer(first: ProcessIdentity, options: WatchOptions) {
  const { folder, path, env, say, onDeath, onRestart, onFailure } = options;
  let server = first;
  let since = logSize(folder);
  let restarting: Promise<void> | null = null;
  writeNote(folder, server);

  async function restart(): Promise<void> {
    onDeath?.(server.pid, lastWordsIn(folder, since));
    since = logSize(folder);
    server = await startServer(folder, path, { env, say });
    writeNote(folder, server);
    onRestart?.(server.pid);
  }
  const timer = setInterval(() => {
    if (restarting !== null || isRunning(server)) return;
    restarting = restart().then(
      () => {
        restarting = null;
      },
      (error) => {
        clearInterval(timer);
        onFailure?.(error);
      },
    );
  }, lookEveryMs);
  timer.unref();

  return {
    get server() {
      return server;
    },
    /** The server that runs in the end. */
    async stop(): Promise<ProcessIdentity> {
      clearInterval(timer);
      await restarting;
      return server;
    },
  };
}

/** The socket of a folder's server, in the shortest form that leads there from here. */
export function embeddedSocket(dataDir: string): string {
  const absolute = join(resolve(dataDir), socketName);
  const nearby = relative(process.cwd(), absolute);
  const path = nearby.length < absolute.length ? nearby : absolute;
  if (Buffer.byteLength(path) <= longestPath) return path;
  throw new RedisStartError(`the path of ${absolute} is too long for a socket: start nearer to it, or set REDIS_URL`);
}

/** Whether a `start` runs there whose server is up. */
export function isEmbeddedRunning(dataDir: string): boolean {
  const noted = readNote(resolve(dataDir));
  return noted?.server != null && isRunning(noted.owner) && isRunning(noted.server);
}

function takeFolder(folder: string): { release(): void } {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = lockFolder(folder);
    if (lock.taken) return lock;
    throw new RedisStartError(
      `${shown(folder)} is in use by another invite-rotator (pid ${lock.by}): stop it, or set REDIS_URL for both`,
    );
  } catch (error) {
    throw asStartError(error, folder);
  }
}

/** The server that an owner left behind when it was killed, ready for use; null: there is none. */
async function findLeftover(folder: string, path: string, signal?: AbortSignal): Promise<ProcessIdentity | null> {
  const noted = readNote(folder);
  let left = noted?.server ?? null;
  if (left === null || !isRunning(left)) {
    const unnoted = noted !== null && noted.server === null;
    const pid = await firstPid(path, unnoted ? unnotedMs : 0);
    if (pid === null) return null;
    const home = workingFolder(pid);
    if (home !== null && home !== realpathSync(folder)) {
      throw new RedisStartError(
        `${join(shown(folder), socketName)} is served by a Redis that is not ours: stop it first`,
      );
    }
    left = identifyProcess(pid);
  }
  const server = left;
  if (!existsSync(path)) {
    // Nobody can reach it any more, and it holds the files that the next one needs.
    await endProcess(server, stopMs);
    return null;
  }
  const since = logSize(folder);
  const alive = () => !isAborted(signal) && isRunning(server);
  try {
    await waitUntilReady(path, alive, () => lastWordsIn(folder, since));
  } catch (error) {
    if (!isAborted(signal)) throw error;
    await endProcess(server, stopMs);
    throw signal?.reason;
  }
  return server;
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

async function firstPid(path: string, withinMs: number): Promise<number | null> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const pid = await pidAt(path);
    if (pid !== null || performance.now() >= deadline) return pid;
    await sleep(50);
  }
}

async function startServer(
  folder: string,
  path: string,
  { env, say, signal }: Pick<EmbeddedOptions, 'env' | 'say' | 'signal'>,
): Promise<ProcessIdentity> {
  const binary = await unlessAborted(findServer({ env, say }), signal);
  rmSync(join(folder, socketName), { force: true });
  const since = logSize(folder);
  writeNote(folder, null);
  const child = launch(binary, folder, env);
  const server = child.pid === undefined ? null : identifyProcess(child.pid);
  try {
    if (server === null) throw new RedisStartError(`cannot run ${binary}`);
    writeNote(folder, server);
    const alive = () => !isAborted(signal) && child.exitCode === null && child.signalCode === null;
    await waitUntilReady(path, alive, () => lastWordsIn(folder, since));
    return server;
  } catch (error) {
    if (server !== null) await endProcess(server, stopMs);
    removeNote(folder);
    throw isAborted(signal) ? signal?.reason : error;
  }
}

function readNote(folder: string): Note | null {
  try {
    return note.parse(JSON.parse(readFileSync(join(folder, 'embedded.json'), 'utf8')));
  } catch {
    return null;
  }
}

/** Whole or not at all: other commands read it at any time. */
function writeNote(folder: string, server: ProcessIdentity | null): void {
  const text: Note = { owner: identifyProcess(process.pid), server };
  const draft = join(folder, 'embedded.json.new');
  writeFileSync(draft, JSON.stringify(text), { mode: 0o600 });
  renameSync(draft, join(folder, 'embedded.json'));
}

function removeNote(folder: string): void {
  rmSync(join(folder, 'embedded.json'), { force: true });
}

const fileErrors: Readonly<Record<string, string>> = {
  EEXIST: 'there is a file of that name',
  ENOTDIR: 'there is a file where a folder should be',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
};

function asStartError(error: unknown, folder: string): unknown {
  if (error instanceof RedisStartError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return new RedisStartError(`cannot use ${shown(folder)} for the embedded Redis: ${fileErrors[code] ?? code}`);
}

/** As a user would write it: `./data`. */
function shown(folder: string): string {
  const nearby = relative(process.cwd(), folder);
  return nearby === '' || nearby.startsWith('..') ? folder : `./${nearby}`;
}
