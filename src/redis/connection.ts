/**
 * Connections to Redis: which one, and how they behave. One client carries all commands of a process; BullMQ's queues
 * share it, and its workers duplicate it for their blocking reads, so options that matter to both are set here.
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import { embeddedSocket, isEmbeddedRunning } from './embedded.ts';
import { RedisStartError } from './findServer.ts';
import type { RedisClient } from './scripts.ts';

/** Where the embedded Redis keeps its data, from where the program was started. */
export const dataDir = 'data';

export type RedisTarget = { readonly url: string } | { readonly path: string };

/** The Redis that the environment or the file names; null: none, so it is the embedded one. REDIS_URL wins. */
export function namedRedis(config: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget | null {
  const url = env.REDIS_URL || config.url;
  if (url === undefined) return null;
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol === 'unix:') return { path: decodeURIComponent(new URL(url).pathname) };
  if (protocol === 'redis:' || protocol === 'rediss:') return { url };
  throw new RedisStartError(
    'REDIS_URL is no address like redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket',
  );
}

/** For every command but `start`: the named Redis, or the embedded one of a `start` that runs here. */
export function findRunningRedis(config: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget {
  const named = namedRedis(config, env);
  if (named !== null) return named;
  if (isEmbeddedRunning(dataDir)) return { path: embeddedSocket(dataDir) };
  throw new RedisStartError('no Redis: start the worker here first (invite-rotator start), or set REDIS_URL');
}

/** For people: never with a password. */
export function describeTarget(target: RedisTarget): string {
  if ('path' in target) return target.path;
  const { protocol, host, pathname } = new URL(target.url);
  return `${protocol}//${host}${pathname}`;
}

export interface ConnectOptions {
  /** Told when the connection is lost, and when it is back. */
  readonly onChange?: (connected: boolean, why: string) => void;
}

const connectMs = 5_000;
/** Between tries to reconnect at the most: an outage's end is noticed within a second. */
const retryMs = 1_000;
const keepAliveMs = 15_000;

/** Resolves once Redis answers; rejects with a `RedisStartError` if it cannot be reached now. */
export async function connectRedis(target: RedisTarget, { onChange }: ConnectOptions = {}): Promise<Redis> {
  let connected = false;
  const options: RedisOptions = {
    // BullMQ's workers need it; commands wait for an outage's end instead of failing after some tries.
    maxRetriesPerRequest: null,
    connectTimeout: connectMs,
    keepAlive: keepAliveMs,
    lazyConnect: true,
    retryStrategy: (tries) => (connected ? Math.min(50 * 2 ** Math.min(tries, 10), retryMs) : null),
    // A failover leaves us at a replica: connect anew, and send the command again there.
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
  };
  const client = 'path' in target ? new Redis(target.path, options) : new Redis(target.url, options);
  let lastError = 'connection closed';
  client.on('error', (error: Error) => {
    lastError = reasonOf(error);
  });
  try {
    await client.connect();
  } catch (error) {
    client.disconnect();
    const why = lastError === 'connection closed' ? reasonOf(error as Error) : lastError;
    throw new RedisStartError(`cannot reach Redis at ${describeTarget(target)}: ${why}`);
  }
  connected = true;
  let up = true;
  client.on('close', () => {
    if (up) onChange?.(false, lastError);
    up = false;
  });
  client.on('ready', () => {
    if (!up) onChange?.(true, '');
    up = true;
  });
  return client;
}

function reasonOf(error: Error & { code?: string }): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused';
  if (error.code === 'ENOENT') return 'no such socket';
  if (error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN') return 'no such host';
  if (error.code === 'ETIMEDOUT') return 'no answer';
  return error.message;
}

export interface RedisFindings {
  /** What keeps the program from working with this server; null: nothing. */
  readonly refusal: string | null;
  /** What an operator should know. */
  readonly warnings: readonly string[];
}

const oldest = [6, 2] as const;

/** What kind of server this is, as far as it tells. */
export async function inspectRedis(client: RedisClient): Promise<RedisFindings> {
  const info = await client.info();
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const version = field('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const refusal =
    major < oldest[0] || (major === oldest[0] && minor < oldest[1])
      ? `Redis ${version} is too old: ${oldest.join('.')} or newer is needed`
      : null;
  const warnings: string[] = [];
  const policy = field('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(`Redis may throw keys away (maxmemory-policy ${policy}): set it to noeviction`);
  }
  return { refusal, warnings };
}
