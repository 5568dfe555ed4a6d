/**
 * Finds a Redis server to run: `redis-server` or `valkey-server` on PATH, else one installed with the system's package
 * manager, if that asks no question. Prints a line before it installs anything.
 *
 * Only the package is left behind: a service that it starts is switched off, since this program runs the server itself.
 * Several processes may install at the same time; they take turns.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStartError } from '../redis/errors.ts';

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Default: whether this process is root. */
  readonly root?: boolean;
  /** Prints one line for the user. */
  readonly say: (line: string) => void;
}

interface Manager {
  readonly command: string;
  /** Tried in this order. */
  readonly packages: readonly string[];
  readonly install: readonly string[];
  /** Run before and after installing. Their failure is ignored. */
  readonly update?: readonly string[];
  readonly disableService?: readonly string[];
}

/** apt-get waits for dpkg's lock if told to, but never for the lock of its package lists: `busy` is for that. */
const aptGet = ['apt-get', '-o', 'DPkg::Lock::Timeout=120', '-qq'];

const managers: readonly Manager[] = [
  {
    command: 'apt-get',
    packages: ['redis-server', 'valkey-server'],
    update: [...aptGet, 'update'],
    install: [...aptGet, 'install', '-y', '--no-install-recommends'],
    // systemd starts the package's service whatever the environment says.
    disableService: ['systemctl', 'disable', '--now'],
  },
  { command: 'dnf', packages: ['redis', 'valkey'], install: ['dnf', 'install', '-y', '-q'] },
  { command: 'apk', packages: ['redis', 'valkey'], install: ['apk', 'add', '--quiet'] },
  { command: 'brew', packages: ['redis'], install: ['brew', 'install', '--quiet'] },
];

/** No questions, no service started by sysvinit, errors in English. */
const settings = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', LC_ALL: 'C' };

const installMs = 5 * 60_000;
/** How long to wait for another process that installs packages. */
const busyMs = 120_000;
const busyEveryMs = 500;
const busy = /\block(ed)?\b|already running/i;

/** The path of a server binary. Rejects with a `RedisStartError` that says what to install. */
export async function findServer({ env, root = process.getuid?.() === 0, say }: FindOptions): Promise<string> {
  const present = serverOnPath(env);
  if (present !== null) return present;

  const available = managers.filter(({ command }) => onPath(command, env) !== null);
  for (const manager of available) {
    const prefix = await privileges(manager, env, root);
    if (prefix !== null) return await install(manager, (command) => run([...prefix, ...command], env), env, say);
  }
  throw new RedisStartError(
    `no redis-server or valkey-server on PATH: install one (${hint(available[0], root)}), or set REDIS_URL to a running one`,
  );
}

/**
 * What to put before the manager's commands, or null if they would ask a question. brew refuses root, the others need
 * it.
 */
async function privileges({ command }: Manager, env: NodeJS.ProcessEnv, root: boolean) {
  if (command === 'brew') return root ? null : [];
  if (root) return [];
  if (onPath('sudo', env) === null || (await run(['sudo', '-n', 'true'], env)) !== null) return null;
  // sudo does not pass the environment on.
  return ['sudo', '-n', 'env', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)];
}

function hint(manager: Manager | undefined, root: boolean): string {
  if (manager === undefined) return 'https://redis.io/docs/latest/operate/oss_and_stack/install/';
  const { command, packages } = manager;
  const line = `${command} ${command === 'apk' ? 'add' : 'install'} ${packages[0]}`;
  if (command === 'brew') return root ? `${line}, not as root` : line;
  return root ? line : `sudo ${line}`;
}

/** Null if the command succeeded, else its last lines of output. */
type Run = (command: readonly string[]) => Promise<string | null>;

async function install(manager: Manager, runAs: Run, env: NodeJS.ProcessEnv, say: FindOptions['say']): Promise<string> {
  const { command, packages, update, disableService } = manager;
  say(`No Redis here: installing ${packages[0]} with ${command} (once; set REDIS_URL to use your own instead)`);
  if (update !== undefined) await runInTurn(update, runAs, env);
  let why = '';
  for (const name of packages) {
    const failure = await runInTurn([...manager.install, name], runAs, env);
    const installed = serverOnPath(env);
    if (installed !== null) {
      if (failure === null && disableService !== undefined) await runAs([...disableService, name]);
      return installed;
    }
    why ||= failure ?? 'no server on PATH afterwards';
  }
  throw new RedisStartError(
    `could not install ${packages.join(' or ')} with ${command}: ${why}; install one, or set REDIS_URL to a running one`,
  );
}

/** Repeats the command while another process installs something, and stops if that was a Redis server. */
async function runInTurn(command: readonly string[], runAs: Run, env: NodeJS.ProcessEnv): Promise<string | null> {
  const deadline = performance.now() + busyMs;
  for (;;) {
    const failure = await runAs(command);
    if (failure === null || !busy.test(failure) || performance.now() > deadline) return failure;
    await sleep(busyEveryMs);
    if (serverOnPath(env) !== null) return null;
  }
}

/** Resolves at the command's exit, although what it started in the background may keep its output open. */
function run([command = '', ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...env, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString('utf8')).slice(-4_000);
      });
    }
    // It resolves at once then: a process that runs as root through sudo cannot be killed.
    const timeout = setTimeout(() => {
      child.kill('SIGTERM');
      end(`${command} took longer than ${installMs / 60_000} minutes`);
    }, installMs);
    const end = (failure: string | null) => {
      clearTimeout(timeout);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(failure);
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', async (code) => {
      // Its last output may still be on its way.
      await sleep(50);
      end(code === 0 ? null : output.trim().split('\n').slice(-2).join(' / ') || `${command} ended with code ${code}`);
    });
  });
}

function serverOnPath(env: NodeJS.ProcessEnv): string | null {
  return onPath('redis-server', env) ?? onPath('valkey-server', env);
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | null {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (folder !== '' && statSync(path).isFile()) return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}
