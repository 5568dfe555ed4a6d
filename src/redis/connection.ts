/**
 * Connections to Redis: which one, and how they behave.
 *
 * One client carries all commands of a process. BullMQ 6 takes it as `connection` for any number of queues and workers:
 * a Queue uses it as it is and leaves it open; a Worker uses it for commands and duplicates it once for its blocking
 * read (BZPOPMIN, 10 s at the most); QueueEvents duplicates it too. So 200 instances cost 201 connections, not 600. A
 * duplicate inherits every option set here, so none may be wrong for it:
 * - maxRetriesPerRequest must be null, and commandTimeout unset: it would cut off blocking reads.
 * - lazyConnect must be off: BullMQ connects a lazy duplicate itself and gives up at the first refusal, so a worker made
 *   during an outage would never work again.
 *
 * A command that waits for its answer when the connection is lost is sent again on the next one. It may have been done
 * already: whatever must not happen twice has to be safe in its script.
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
  const [source, text] = env.REDIS_URL ? ['REDIS_URL', env.REDIS_URL] : ['redis.url', config.url];
  if (text === undefined) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) };
  // As parsed, with its scheme in lower case: ioredis would take REDISS:// for a connection without TLS.
  if (url?.host && (url.protocol === 'redis:' || url.protocol === 'rediss:')) return { url: url.href };
  throw new RedisStartError(
    `${source} is no address like redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket`,
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
  /** Told when the connection is lost, when another reason keeps it from coming back, and when it is back. */
  readonly onChange?: (connected: boolean, why: string) => void;
  /** A connection on which a command has waited this long without any answer is dead. Longer than BullMQ blocks. */
  readonly silenceMs?: number;
}

const connectMs = 5_000;
/** From a TCP connection to a server that answers and has loaded its data; a server that loads says so meanwhile. */
const handshakeMs = 5_000;
/** Between tries to reconnect at the most: an outage's end is noticed within a second. */
const retryMs = 1_000;
const keepAliveMs = 15_000;
/** BullMQ blocks for 10 s at the most. */
const silentMs = 12_000;

/**
 * Once it was ready, gives up a new connection that does not answer: ioredis would wait for it as long as for one that
 * blocks, so an outage in which packets just vanish would last that much longer. So do its duplicates.
 */
class HandshakingRedis extends Redis {
  constructor(options: RedisOptions) {
    super({ ...options, replyMapping: 'legacy' });
    let wasReady = false;
    let timer: NodeJS.Timeout | undefined;
    this.on('ready', () => {
      wasReady = true;
    });
    this.on('connect', () => {
      clearTimeout(timer);
      if (wasReady) timer = setTimeout(() => this.disconnect(true), handshakeMs);
    });
    for (const over of ['ready', 'close', 'end']) this.on(over, () => clearTimeout(timer));
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new HandshakingRedis({ ...this.options, ...override });
  }
}

/** Resolves once Redis answers and has loaded its data; rejects with a `RedisStartError` if it cannot be reached now. */
export async function connectRedis(target: RedisTarget, options: ConnectOptions = {}): Promise<Redis> {
  const { onChange, silenceMs = silentMs } = options;
  let connected = false;
  const settings: RedisOptions = {
    connectionName: 'invite-rotator',
    maxRetriesPerRequest: null,
    connectTimeout: connectMs,
    // Without it, a cut that nobody announces (a firewall's, a dead host's) would hold commands for a quarter of an hour.
    socketTimeout: silenceMs,
    keepAlive: keepAliveMs,
    retryStrategy: (tries) => (connected ? Math.min(50 * 2 ** Math.min(tries, 10), retryMs) : null),
    // A failover leaves us at a replica: connect anew, and send the command again there.
    reconnectOnError: (error) => (error.message.includes('READONLY') ? 2 : false),
  };
  const client = new HandshakingRedis({ ...settings, ...addressOf(target) });
  let reason = 'connection closed';
  client.on('error', (error: Error) => {
    reason = reasonOf(error);
  });
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.once('end', () => reject(new RedisStartError(`cannot reach Redis at ${describeTarget(target)}: ${reason}`)));
  });
  connected = true;
  /** Reasons of this outage, each told once. */
  const told = new Set<string>();
  client.on('close', () => {
    if (!told.has(reason)) onChange?.(false, reason);
    told.add(reason);
  });
  client.on('ready', () => {
    if (told.size > 0) onChange?.(true, '');
    told.clear();
    reason = 'connection closed';
  });
  return client;
}

/** As options: ioredis takes a relative path that is its first argument for a host. */
function addressOf(target: RedisTarget): RedisOptions {
  if ('path' in target) return { path: target.path };
  const { protocol, hostname, port, username, password, pathname } = new URL(target.url);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(pathname.length > 1 ? { db: Number(pathname.slice(1)) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

/** In our own words: what a server answers may repeat what it was sent. */
function reasonOf(error: Error & { code?: string }): string {
  const { code, message } = error;
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ENOENT') return 'no such socket';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'no such host';
  if (code === 'ETIMEDOUT' || message.startsWith('Socket timeout')) return 'no answer';
  if (message.startsWith('WRONGPASS')) return 'wrong user or password';
  if (message.startsWith('NOAUTH')) return 'it wants a password, and the address has none';
  return message;
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
