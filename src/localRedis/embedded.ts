/**
 * The embedded Redis: a server of our own for users who have none. Its data is an append-only file in a folder. It
 * listens on a Unix socket in that folder that only its owner can reach, and on no TCP port.
 *
 * A folder has one owner at a time (`folderLock.ts`). A server outlives an owner that is killed; the next owner adopts it,
 * so two servers never write the same files. `embedded.json` in the folder identifies owner and server, also for other
 * commands. A server that exits while its owner runs is started again.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { unlessAborted } from '../abort.ts';
import { RedisStartError } from '../redis/errors.ts';
import { findServer } from './findServer.ts';
import { type FolderLock, lockFolder } from './folderLock.ts';
import { endProcess, identifyProcess, isRunning, type ProcessIdentity, workingFolder } from './process.ts';
import { lastLogLine, launch, logSize, pidAt, socketName, waitUntilReady } from './server.ts';

/** Where `start` keeps the data, relative to the working directory. */
export const dataDir = 'data';

export interface EmbeddedRedis {
  /** The socket's path. */
  readonly path: string;
  readonly pid: number;
  /** The server was left behind by an owner that was killed. */
  readonly adopted: boolean;
  /** Ends the server, which first writes its data to disk, and releases the folder. */
  stop(): Promise<void>;
  /** Signals the server to end without waiting for it: for a process that is about to exit. */
  endAtOnce(): void;
}

export interface EmbeddedOptions {
  /** Created with access for its owner only, if it does not exist. */
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Prints one line for the user. */
  readonly say: (line: string) => void;
  /** Gives up starting: rejects with its reason, and leaves no server behind. */
  readonly signal?: AbortSignal;
  /** Called when the server has exited on its own, with its last log line. It is started again then. */
  readonly onExit?: (pid: number, lastLog: string) => void;
  readonly onRestart?: (pid: number) => void;
  /** Called when the server could not be started again. There is no further attempt. */
  readonly onFailure?: (error: unknown) => void;
}

const identity = z.object({ pid: z.int().positive(), startedAt: z.string().nullable() });
/** `embedded.json`. `server` is null while the owner is starting one. */
const noteSchema = z.object({ owner: identity, server: identity.nullable() });
type Note = z.infer<typeof noteSchema>;

const stopMs = 15_000;
const checkEveryMs = 1_000;
/** How long a server may take to open its socket if its owner died before noting it. */
const unnotedMs = 2_000;
/** A longer path does not fit into a socket's address. */
const maxPathBytes = 100;

interface Place {
  readonly folder: string;
  /** The socket's. */
  readonly path: string;
}

/** Rejects with a `RedisStartError`. */
export async function startEmbeddedRedis(options: EmbeddedOptions): Promise<EmbeddedRedis> {
  const folder = resolve(options.dataDir);
  const place = { folder, path: embeddedSocket(folder) };
  const lock = takeFolder(folder);
  try {
    const leftover = await findLeftover(place, options.signal);
    const supervised = supervise(leftover ?? (await startServer(place, options)), place, options);
    const stop = async () => {
      await supervised.release();
      await endProcess(supervised.server, stopMs);
      removeNote(folder);
      lock.release();
    };
    let stopped: Promise<void> | null = null;
    return {
      path: place.path,
      get pid() {
        return supervised.server.pid;
      },
      adopted: leftover !== null,
      stop() {
        stopped ??= stop();
        return stopped;
      },
      endAtOnce() {
        try {
          if (stopped === null && isRunning(supervised.server)) process.kill(supervised.server.pid, 'SIGTERM');
        } catch {
          // It has just ended.
        }
      },
    };
  } catch (error) {
    // The note stays: it may name a server that still runs without answering, and no second one may write its files.
    lock.release();
    throw asStartError(error, folder);
  }
}

/** Starts the server again whenever it exits on its own. */
function supervise(first: ProcessIdentity, place: Place, { env, say, onExit, onRestart, onFailure }: EmbeddedOptions) {
  const { folder } = place;
  let server = first;
  let since = logSize(folder);
  let restarting: Promise<void> | null = null;
  writeNote(folder, server);

  async function restart(): Promise<void> {
    try {
      onExit?.(server.pid, lastLogLine(folder, since));
      since = logSize(folder);
      server = await startServer(place, { env, say });
      writeNote(folder, server);
      onRestart?.(server.pid);
      restarting = null;
    } catch (error) {
      clearInterval(timer);
      onFailure?.(error);
    }
  }
  const timer = setInterval(() => {
    if (restarting === null && !isRunning(server)) restarting = restart();
  }, checkEveryMs);
  timer.unref();

  return {
    get server() {
      return server;
    },
    /** Resolves when the server is not started again any more. */
    async release() {
      clearInterval(timer);
      await restarting;
    },
  };
}

/** The socket of a folder's server, by the shortest path from here. */
export function embeddedSocket(dataDir: string): string {
  const absolute = join(resolve(dataDir), socketName);
  const nearby = relative(process.cwd(), absolute);
  const path = nearby.length < absolute.length ? nearby : absolute;
  if (Buffer.byteLength(path) <= maxPathBytes) return path;
  throw new RedisStartError(
    `the path of ${absolute} is too long for a socket: use a directory with a shorter path, or set REDIS_URL`,
  );
}

/** Whether a `start` and its server run in that folder. */
export function isEmbeddedRunning(dataDir: string): boolean {
  const note = readNote(resolve(dataDir));
  return note?.server != null && isRunning(note.owner) && isRunning(note.server);
}

function takeFolder(folder: string): Extract<FolderLock, { taken: true }> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = lockFolder(folder);
    if (lock.taken) return lock;
    throw new RedisStartError(
      `${display(folder)} is in use by another invite-rotator (pid ${lock.by}): stop it, or set REDIS_URL for both`,
    );
  } catch (error) {
    throw asStartError(error, folder);
  }
}

/** The server that a killed owner left behind, ready for use, or null. */
async function findLeftover({ folder, path }: Place, signal?: AbortSignal): Promise<ProcessIdentity | null> {
  const server = await identifyLeftover({ folder, path });
  if (server === null) return null;
  if (!existsSync(path)) {
    // No client can reach it, and it has the files open that the next server needs.
    await endProcess(server, stopMs);
    return null;
  }
  const since = logSize(folder);
  const isAlive = () => signal?.aborted !== true && isRunning(server);
  try {
    await waitUntilReady(path, isAlive, () => lastLogLine(folder, since));
    return server;
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    await endProcess(server, stopMs);
    throw signal.reason;
  }
}

/** By its note, or else by its socket. */
async function identifyLeftover({ folder, path }: Place): Promise<ProcessIdentity | null> {
  const note = readNote(folder);
  if (note?.server != null && isRunning(note.server)) return note.server;
  const pid = await firstPid(path, note?.server === null ? unnotedMs : 0);
  if (pid === null) return null;
  const home = workingFolder(pid);
  if (home === null || home === realpathSync(folder)) return identifyProcess(pid);
  throw new RedisStartError(
    `${join(display(folder), socketName)} belongs to a Redis that invite-rotator did not start: stop it first`,
  );
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
  { folder, path }: Place,
  { env, say, signal }: Pick<EmbeddedOptions, 'env' | 'say' | 'signal'>,
): Promise<ProcessIdentity> {
  const binary = await unlessAborted(findServer({ env, say }), signal);
  rmSync(join(folder, socketName), { force: true });
  const since = logSize(folder);
  // Before the launch: an owner that dies between the two leaves a server without a note.
  writeNote(folder, null);
  const child = launch(binary, folder, env);
  const server = child.pid === undefined ? null : identifyProcess(child.pid);
  try {
    if (server === null) throw new RedisStartError(`cannot run ${binary}`);
    writeNote(folder, server);
    const isAlive = () => signal?.aborted !== true && child.exitCode === null && child.signalCode === null;
    await waitUntilReady(path, isAlive, () => lastLogLine(folder, since));
    return server;
  } catch (error) {
    if (server !== null) await endProcess(server, stopMs);
    removeNote(folder);
    throw signal?.aborted === true ? signal.reason : error;
  }
}

function readNote(folder: string): Note | null {
  try {
    return noteSchema.parse(JSON.parse(readFileSync(join(folder, 'embedded.json'), 'utf8')));
  } catch {
    return null;
  }
}

/** Replaces the note in one step: other commands may read it at any time. */
function writeNote(folder: string, server: ProcessIdentity | null): void {
  const note: Note = { owner: identifyProcess(process.pid), server };
  const draft = join(folder, 'embedded.json.new');
  writeFileSync(draft, JSON.stringify(note), { mode: 0o600 });
  renameSync(draft, join(folder, 'embedded.json'));
}

function removeNote(folder: string): void {
  rmSync(join(folder, 'embedded.json'), { force: true });
}

const fileErrors: Readonly<Record<string, string>> = {
  EEXIST: 'a file with that name exists',
  ENOTDIR: 'a file is where a folder should be',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
};

function asStartError(error: unknown, folder: string): unknown {
  if (error instanceof RedisStartError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return new RedisStartError(`cannot use ${display(folder)} for the embedded Redis: ${fileErrors[code] ?? code}`);
}

/** As a user would write it: `./data`. */
function display(folder: string): string {
  const nearby = relative(process.cwd(), folder);
  return nearby === '' || nearby.startsWith('..') ? folder : `./${nearby}`;
}
