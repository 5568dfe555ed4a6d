/**
 * Redis connections of the library, from whatever its user passes as `connection`. They wait for Redis through any outage,
 * and close at once, whether Redis answers or not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { parseRedisUrl } from '../config/redisUrl.ts';
import type { RedisClient } from './scripts.ts';
import { SelectingRedis } from './selectingClient.ts';
import { addressOptions, commonOptions, reconnectPauseMs } from './target.ts';

/**
 * An address as in `REDIS_URL` (`redis://`, `rediss://` or `unix://`), ioredis's options (with such an address as `url`, as
 * in BullMQ), or an ioredis client with `maxRetriesPerRequest: null`.
 */
export type Connection = string | (RedisOptions & { readonly url?: string }) | Redis | Cluster;

export interface Opened {
  readonly redis: RedisClient;
  /** Another connection to the same Redis, for blocking reads. */
  duplicate(): RedisClient;
  /** Closes what was opened here, duplicates included. The user's own client stays open. */
  close(): Promise<void>;
}

/** BullMQ and the library block for at most 10 s, so a connection that is silent for longer is dead. */
const silenceMs = 15_000;
/** For the reply to QUIT. */
const quitMs = 500;

const expected = 'expected a URL, options of ioredis, or a client of ioredis';
const prefixReason = "BullMQ's keys begin with the option prefix";

/** Throws a `TypeError` if the connection cannot do what the library promises. */
export function openConnection(connection: Connection): Opened {
  let isClosed = false;
  const opened: RedisClient[] = [];
  const retryStrategy = (attempts: number) => (isClosed ? null : reconnectPauseMs(attempts));
  /** Workers block on duplicates of the client, which inherit these. */
  const options = {
    ...commonOptions,
    enableOfflineQueue: true,
    lazyConnect: false,
    socketTimeout: silenceMs,
    retryStrategy,
    // After a failover the server is a replica: reconnect, and send the command again.
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false),
  } satisfies RedisOptions;

  function own(client: RedisClient): RedisClient {
    opened.push(client);
    client.on('error', () => {
      // The commands that fail report it, and the client reconnects.
    });
    return client;
  }

  function duplicateOf(client: RedisClient): RedisClient {
    if (!client.isCluster) return own((client as Redis).duplicate(options));
    return own((client as Cluster).duplicate([], { clusterRetryStrategy: retryStrategy, redisOptions: options }));
  }

  function open(): RedisClient {
    if (typeof connection === 'string') return own(new SelectingRedis({ ...addressOptionsOf(connection), ...options }));
    if (isClient(connection)) {
      checkClient(connection);
      return connection;
    }
    // JavaScript passes a variable that is not set.
    if (typeof connection !== 'object' || connection === null) throw new TypeError(`connection: ${expected}`);
    const { commandTimeout: _, keyPrefix, url, ...rest } = connection;
    if (keyPrefix) throw new TypeError(`connection: leave keyPrefix out: ${prefixReason}`);
    const address = url === undefined ? {} : addressOptionsOf(url, rest.db);
    return own(new SelectingRedis({ ...rest, ...address, ...options }));
  }

  const redis = open();
  return {
    redis,
    duplicate: () => duplicateOf(redis),
    async close() {
      isClosed = true;
      await Promise.all(opened.map(end));
    },
  };
}

/** `db`: where the address names none. */
function addressOptionsOf(url: string, db: number | null = null): RedisOptions {
  const parsed = parseRedisUrl(url);
  if (parsed.ok) return addressOptions({ ...parsed.address, db: parsed.address.db ?? db });
  throw new TypeError(`connection: the address ${parsed.message}`);
}

/** A connection that nothing else uses: the user's own client is duplicated. */
export function openDedicated(connection: Connection): Omit<Opened, 'duplicate'> {
  const { redis, duplicate, close } = openConnection(connection);
  return { redis: redis === connection ? duplicate() : redis, close };
}

async function end(client: RedisClient): Promise<void> {
  if (client.status === 'ready') {
    await Promise.race([client.quit().catch(() => {}), sleep(quitMs, undefined, { ref: false })]);
  }
  client.disconnect();
}

/** Not by its class: the client may come from another copy of ioredis. */
function isClient(connection: Connection): connection is Redis | Cluster {
  return (
    typeof connection === 'object' &&
    connection !== null &&
    'duplicate' in connection &&
    typeof connection.duplicate === 'function'
  );
}

/** The options with which a client cannot keep the library's promises, and what to do about each. */
const unsuitable: readonly [option: keyof RedisOptions, isWrong: (value: unknown) => boolean, hint: string][] = [
  [
    'maxRetriesPerRequest',
    (value) => value !== null,
    'set it to null, so that its commands wait while Redis is unreachable',
  ],
  ['enableOfflineQueue', (value) => value === false, 'leave it out, so that its commands wait while it connects'],
  [
    'commandTimeout',
    (value) => value != null,
    'leave it out: a command that times out may still take effect. To limit a call, use timeoutMs',
  ],
  ['keyPrefix', (value) => value != null && value !== '', `leave it out: ${prefixReason}`],
];

/** Throws a `TypeError` that names the option and the remedy. */
function checkClient(client: Redis | Cluster): void {
  // A client of node-redis has a `duplicate` as well.
  if (typeof client.defineCommand !== 'function' || typeof client.evalsha !== 'function') {
    throw new TypeError(`connection: ${expected}`);
  }
  if (client.status === 'end') throw new TypeError('connection: this client has been closed');
  const options: Partial<RedisOptions> = client.isCluster
    ? clusterOptions(client as Cluster)
    : (client as Redis).options;
  for (const [option, isWrong, hint] of unsuitable) {
    const value = options[option];
    if (isWrong(value)) throw new TypeError(`connection: this client has ${option} ${String(value)}; ${hint}`);
  }
}

/** A cluster's client retries indefinitely: the limit of its nodes' clients is never reached. */
function clusterOptions({ options: { redisOptions, enableOfflineQueue, keyPrefix } }: Cluster): Partial<RedisOptions> {
  return {
    maxRetriesPerRequest: null,
    ...redisOptions,
    ...(enableOfflineQueue === undefined ? {} : { enableOfflineQueue }),
    ...(keyPrefix ? { keyPrefix } : {}),
  };
}
