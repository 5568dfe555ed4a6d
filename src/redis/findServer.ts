/**
 * Finds a Redis server to run: `redis-server` or `valkey-server` on PATH, else one installed with the system's package
 * manager, if that can be done without a question. Says so before it installs anything.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Fit to be shown to a user as it is. */
export class RedisStartError extends Error {
  override readonly name = 'RedisStartError';
}

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Whether we are root; by default, as the process is. */
  readonly root?: boolean;
  /** One line for the user. */
  readonly say: (line: string) => void;
}

const servers = ['redis-server', 'valkey-server'];
const installMs = 5 * 60_000;

interface Manager {
  readonly command: string;
  readonly packages: readonly string[];
  /** Runs as root, through sudo if need be; brew must not. */
  readonly asRoot: boolean;
  readonly steps: (name: string) => readonly (readonly string[])[];
}

const managers: readonly Manager[] = [
  {
    command: 'apt-get',
    packages: ['redis-server', 'valkey-server'],
    asRoot: true,
    steps: (name) => [
      ['apt-get', '-o', 'DPkg::Lock::Timeout=120', 'update', '-qq'],
      ['apt-get', '-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '-qq', '--no-install-recommends', name],
    ],
  },
  {
    command: 'dnf',
    packages: ['redis', 'valkey'],
    asRoot: true,
    steps: (name) => [['dnf', 'install', '-y', '-q', name]],
  },
  { command: 'apk', packages: ['redis', 'valkey'], asRoot: true, steps: (name) => [['apk', 'add', '--quiet', name]] },
  { command: 'brew', packages: ['redis'], asRoot: false, steps: (name) => [['brew', 'install', '--quiet', name]] },
];

/** The path of a server binary. Rejects with a `RedisStartError` that says what to install. */
export async function findServer({ env, root = process.getuid?.() === 0, say }: FindOptions): Promise<string> {
  const present = servers.map((name) => onPath(name, env)).find((path) => path !== null);
  if (present) return present;

  const manager = managers.find(({ command }) => onPath(command, env) !== null);
  const before = manager === undefined ? null : prefixFor(manager, env, root);
  if (manager === undefined || before === null) {
    throw new RedisStartError(
      `no redis-server or valkey-server on PATH: install one (${manager ? `${manager.command} install ${manager.packages[0]}` : 'https://redis.io/docs/install'}), or set REDIS_URL to one that runs`,
    );
  }
  for (const name of manager.packages) {
    say(`No Redis here: installing ${name} with ${manager.command} (once; set REDIS_URL to use your own instead)`);
    const failed = await runAll(
      manager.steps(name).map((step) => [...before, ...step]),
      env,
    );
    const installed = servers.map((server) => onPath(server, env)).find((path) => path !== null);
    if (failed === null && installed) return installed;
    if (name === manager.packages.at(-1)) {
      throw new RedisStartError(
        `could not install ${name}: ${failed ?? 'no server on PATH afterwards'}; set REDIS_URL to a Redis that runs`,
      );
    }
  }
  throw new RedisStartError('no Redis server could be installed');
}

/** What must stand before the manager's command; null: it cannot be run without asking somebody. */
function prefixFor(manager: Manager, env: NodeJS.ProcessEnv, root: boolean): string[] | null {
  if (!manager.asRoot) return root ? null : [];
  // A service that the package would start on its own is kept from starting: this program runs its own server.
  const quietly = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1'];
  if (root) return quietly;
  if (onPath('sudo', env) === null) return null;
  return spawnSync('sudo', ['-n', 'true'], { env, stdio: 'ignore', timeout: 10_000 }).status === 0
    ? ['sudo', '-n', ...quietly]
    : null;
}

async function runAll(steps: string[][], env: NodeJS.ProcessEnv): Promise<string | null> {
  for (const [command, ...args] of steps) {
    const failed = await run(command ?? '', args, env);
    if (failed !== null) return failed;
  }
  return null;
}

/** null, or the last thing it said. */
function run(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: installMs });
    let said = '';
    const keep = (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-2_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code === 0 ? null : (said.trim().split('\n').at(-1) ?? `exit code ${code}`)));
  });
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | null {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}
