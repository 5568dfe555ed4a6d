/** A process that owns an embedded Redis, as `start` does, for tests that kill it. It runs the compiled modules. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import type { EmbeddedRedis } from '../../src/localRedis/embedded.ts';

const built = new URL('../../dist-dev/src/localRedis/embedded.js', import.meta.url).href;

/** Prints the result of starting as one line of JSON; stops on SIGTERM, and when its parent has gone. */
const script = `
  import { startEmbeddedRedis } from ${JSON.stringify(built)};
  process.stdin.on('end', () => process.exit()).resume();
  if (process.argv[2] !== undefined) process.setuid(Number(process.argv[2]));
  try {
    const redis = await startEmbeddedRedis({ dataDir: process.argv[1], env: process.env, say: () => {} });
    process.on('SIGTERM', async () => { await redis.stop(); process.exit(); });
    console.log(JSON.stringify(redis));
  } catch (error) {
    console.log(JSON.stringify({ name: error.name, message: error.message }));
    process.exit(1);
  }`;

export interface Owner {
  readonly child: ChildProcess;
  readonly started: Promise<Partial<Pick<EmbeddedRedis, 'pid' | 'path' | 'adopted'> & Pick<Error, 'name' | 'message'>>>;
  readonly ended: Promise<unknown>;
}

export interface OwnerOptions {
  /** Its working directory; its data is in `./data` there. */
  readonly folder: string;
  /** The user that it becomes once it runs: not every user may start this Node.js. */
  readonly uid?: number;
}

export function startOwner({ folder, uid }: OwnerOptions): Owner {
  const args = ['--input-type=module', '-e', script, 'data', ...(uid === undefined ? [] : [String(uid)])];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const started: Owner['started'] = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    child.once('exit', (code) => reject(new Error(`the owner ended with ${code} and printed nothing`)));
  });
  started.catch(() => {});
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, started, ended };
}
