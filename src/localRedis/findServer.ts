/**
 * Finds a Redis server to run: `redis-server` or `valkey-server` on PATH, else one installed with the system's package
 * manager, if that can be done without a question. Says so before it installs anything.
 *
 * What installing leaves behind is the package alone: a service that it brings is switched off, since this program runs
 * the server itself. Several processes may install at the same time: whoever comes second waits for the first.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStartError } from '../redis/errors.ts';

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Whether we are root; by default, as the process is. */
  readonly root?: boolean;
  /** One line for the user. */
  readonly say: (line: string) => void;
}

const servers = ['redis-server', 'valkey-server'];
const installMs = 5 * 60_000;
/** How long to wait for another that installs something. */
const busyMs = 120_000;
const busyEveryMs = 500;
const busy = /\block(ed)?\b|already running/i;

interface Manager {
  readonly command: string;
  /** In the order in which they are tried. */
  readonly packages: readonly string[];
  /** Must run as root; otherwise must not. */
  readonly asRoot: boolean;
  /** Run once before; installing may work without. */
  readonly prepare?: readonly string[];
  readonly install: (name: string) => readonly string[];
  /** Run once installed; its failure is no failure. */
  readonly finish?: (name: string) => readonly string[];
}

/** apt-get waits for dpkg's lock if told so, but never for that of its package lists: `busy` is for that. */
const aptGet = ['apt-get', '-o', 'DPkg::Lock::Timeout=120', '-qq'];

const managers: readonly Manager[] = [
  {
    command: 'apt-get',
    packages: ['redis-server', 'valkey-server'],
    asRoot: true,
    prepare: [...aptGet, 'update'],
    install: (name) => [...aptGet, 'install', '-y', '--no-install-recommends', name],
    // systemd starts a package's service whatever the environment says, so it is stopped and switched off afterwards.
    finish: (name) => ['systemctl', 'disable', '--now', name],
  },
  {
    command: 'dnf',
    packages: ['redis', 'valkey'],
    asRoot: true,
    install: (name) => ['dnf', 'install', '-y', '-q', name],
  },
  { command: 'apk', packages: ['redis', 'valkey'], asRoot: true, install: (name) => ['apk', 'add', '--quiet', name] },
  { command: 'brew', packages: ['redis'], asRoot: false, install: (name) => ['brew', 'install', '--quiet', name] },
];

/** RUNLEVEL keeps a service from being started where sysvinit rules. The rest: no questions, and errors in English. */
const settings = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', LC_ALL: 'C' };

/** The path of a server binary. Rejects with a `RedisStartError` that says what to install. */
export async function findServer({ env, root = process.getuid?.() === 0, say }: FindOptions): Promise<string> {
  const present = serverOnPath(env);
  if (present !== null) return present;

  const here = managers.filter(({ command }) => onPath(command, env) !== null);
  for (const manager of here) {
    const before = await prefixFor(manager, env, root);
    if (before !== null) return await install(manager, before, env, say);
  }
  throw new RedisStartError(
    `no redis-server or valkey-server on PATH: install one (${howTo(here[0], root)}), or set REDIS_URL to one that runs`,
  );
}

/** What must stand before the manager's commands; null: they cannot be run without asking somebody. */
async function prefixFor(manager: Manager, env: NodeJS.ProcessEnv, root: boolean): Promise<readonly string[] | null> {
  if (root) return manager.asRoot ? [] : null;
  if (!manager.asRoot) return [];
  if (onPath('sudo', env) === null || (await run(['sudo', '-n', 'true'], env)) !== null) return null;
  // sudo passes no environment on by itself.
  return ['sudo', '-n', 'env', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)];
}

function howTo(manager: Manager | undefined, root: boolean): string {
  if (manager === undefined) return 'https://redis.io/docs/latest/operate/oss_and_stack/install/';
  const command = `${manager.command} ${manager.command === 'apk' ? 'add' : 'install'} ${manager.packages[0]}`;
  if (manager.asRoot) return root ? command : `sudo ${command}`;
  return root ? `${command}, not as root` : command;
}

async function install(
  { command, packages, prepare, install: steps, finish }: Manager,
  before: readonly string[],
  env: NodeJS.ProcessEnv,
  say: FindOptions['say'],
): Promise<string> {
  say(`No Redis here: installing ${packages[0]} with ${command} (once; set REDIS_URL to use your own instead)`);
  if (prepare !== undefined) await runInTurn([...before, ...prepare], env);
  let why = '';
  for (const name of packages) {
    const failed = await runInTurn([...before, ...steps(name)], env);
    const installed = serverOnPath(env);
    if (installed !== null) {
      if (failed === null && finish !== undefined) await run([...before, ...finish(name)], env);
      return installed;
    }
    why ||= failed ?? 'no server on PATH afterwards';
  }
  throw new RedisStartError(
    `could not install ${packages.join(' or ')} with ${command}: ${why}; install one, or set REDIS_URL to one that runs`,
  );
}

/** Waits while another process installs something; null at once if that was a Redis server. */
async function runInTurn(command: readonly string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  const deadline = performance.now() + busyMs;
  for (;;) {
    const failed = await run(command, env);
    if (failed === null || !busy.test(failed) || performance.now() > deadline) return failed;
    await sleep(busyEveryMs);
    if (serverOnPath(env) !== null) return null;
  }
}

/** null, or the last thing it said. Never waits for what it left running in the background. */
function run([command = '', ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...env, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const keep = (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-4_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const tooLong = setTimeout(() => {
      child.kill('SIGTERM');
      end(`${command} took longer than ${installMs / 60_000} minutes`);
    }, installMs);
    const end = (failed: string | null) => {
      clearTimeout(tooLong);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(failed);
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', (code) => {
      // What it wrote last may still be on its way.
      setTimeout(() => end(code === 0 ? null : lastLines(said) || `${command} ended with code ${code}`), 50);
    });
  });
}

function lastLines(said: string): string {
  return said.trim().split('\n').slice(-2).join(' / ');
}

function serverOnPath(env: NodeJS.ProcessEnv): string | null {
  return servers.map((name) => onPath(name, env)).find((path) => path !== null) ?? null;
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
