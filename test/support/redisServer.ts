/** A Redis server for one test, which may kill, restart and freeze it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  /** Sends SIGTERM and waits for the end. */
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  readonly binary: string;
  readonly folder: string;
  readonly port?: number;
  readonly appendOnly?: boolean;
  readonly password?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
}

export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const { binary, folder, appendOnly = false, password, args: more = [] } = options;
  const port = options.port ?? (await freePort());
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--daemonize', 'no'];
  args.push('--appendonly', appendOnly ? 'yes' : 'no', '--maxmemory-policy', 'noeviction');
  if (password !== undefined) args.push('--requirepass', password);
  return await launch(binary, [...args, ...more], { folder, port, password });
}

export interface LaunchOptions {
  readonly folder: string;
  readonly port: number;
  readonly password: string | undefined;
}

/** Resolves once it answers. */
export async function launch(
  binary: string,
  args: readonly string[],
  { folder, port, password }: LaunchOptions,
): Promise<RedisServer> {
  const child = spawn(binary, args, { cwd: folder, stdio: 'ignore' });
  const url = `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`;
  await answers(url, child);
  return {
    url,
    port,
    child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.ping();
      return;
    } catch {
      await sleep(20);
    } finally {
      client.disconnect();
    }
  }
}

/** Below the ports that systems give to outgoing connections, which could take a port that was free a moment ago. */
const ports = { from: 10_000, count: 20_000 };
/** Ascending from a random port, so that one process never repeats a port and two processes rarely share one. */
let nextPort = Math.floor(Math.random() * ports.count);

/** A loopback port on which nothing listens. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = ports.from + (nextPort++ % ports.count);
    const server = createServer().listen(port, '127.0.0.1');
    const listens = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!listens) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
