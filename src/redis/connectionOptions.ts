/**
 * Redis connections for the library: what its user gives, as BullMQ takes it. Everything opened here waits for a Redis
 * that is away for as long as that lasts, and ends at once when it is closed, whether Redis answers or not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisClient } from './scripts.ts';

/** A URL (`redis://`, `rediss://`), ioredis's options, or a client with `maxRetriesPerRequest: null`. */
export type Connection = string | RedisOptions | Redis | Cluster;

export interface Opened {
  readonly redis: RedisClient;
  /** Another connection to the same Redis, for reads that block. */
  duplicate(): RedisClient;
  /** Closes what was opened here, duplicates included; a client that was given stays open. */
  close(): Promise<void>;
}

/** BullMQ and the library block for 10 s at most: a connection that is silent for longer is dead. */
const silentMs = 15_000;
const connectMs = 5_000;
const keepAliveMs = 15_000;
/** The longest time between two tries to reconnect. */
const retryMs = 1_000;
/** For the answer to QUIT. */
const quitMs = 500;

/** Throws a `TypeError` where the connection cannot do what the library promises. */
export function openConnection(connection: Connection): Opened {
  let closed = false;
  const opened: RedisClient[] = [];
  const retryStrategy = (tries: number) => (closed ? null : Math.min(50 * 2 ** Math.min(tries, 10), retryMs));
  /** Workers block on their own duplicates, which inherit these. */
  const options = {
    maxRetriesPerRequest: null,
    enableOfflineQueue: true,
    lazyConnect: false,
    connectTimeout: connectMs,
    socketTimeout: silentMs,
    keepAlive: keepAliveMs,
    retryStrategy,
    // A failover leaves us at a replica: reconnect, and send the command again there.
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false),
  } satisfies RedisOptions;

  function own(client: RedisClient): RedisClient {
    opened.push(client);
    client.on('error', () => {
      // Who waits for an answer finds out; the client connects again by itself.
    });
    return client;
  }

  function duplicateOf(client: RedisClient): RedisClient {
    if (client instanceof Redis || !client.isCluster) return own((client as Redis).duplicate(options));
    return own((client as Cluster).duplicate([], { clusterRetryStrategy: retryStrategy, redisOptions: options }));
  }

  function open(): RedisClient {
    if (typeof connection === 'string') return own(new Redis(connection, options));
    if (isClient(connection)) {
      refuseUnsuitable(connection);
      return connection;
    }
    const { commandTimeout: _, keyPrefix, ...rest } = connection;
    if (keyPrefix) throw new TypeError("connection: leave keyPrefix out: BullMQ's keys begin with the option prefix");
    return own(new Redis({ ...rest, ...options }));
  }

  const redis = open();
  return {
    redis,
    duplicate: () => duplicateOf(redis),
    async close() {
      closed = true;
      await Promise.all(opened.map(end));
    },
  };
}

/** The same for who needs a connection of its own: a client that is given is only duplicated. */
export function openDedicated(connection: Connection): Omit<Opened, 'duplicate'> {
  const { redis, duplicate, close } = openConnection(connection);
  return { redis: redis === connection ? duplicate() : redis, close };
}

/** At once where Redis is away or does not answer: whoever waited for it has been told before. */
async function end(client: RedisClient): Promise<void> {
  if (client.status === 'ready')
    await Promise.race([client.quit().catch(() => {}), sleep(quitMs, undefined, { ref: false })]);
  client.disconnect();
}

/** By what it can do: it may come from another copy of ioredis. */
function isClient(connection: Connection): connection is Redis | Cluster {
  return typeof connection === 'object' && 'duplicate' in connection && typeof connection.duplicate === 'function';
}

/** What would be right, for each option that a client that is given must not have. */
const refused: readonly {
  readonly option: keyof RedisOptions;
  readonly isWrong: (value: unknown) => boolean;
  readonly right: string;
}[] = [
  {
    option: 'maxRetriesPerRequest',
    isWrong: (value) => value !== null,
    right: 'set it to null, so that its commands wait for a Redis that is away',
  },
  {
    option: 'enableOfflineQueue',
    isWrong: (value) => value === false,
    right: 'leave it out, so that its commands wait while it connects',
  },
  {
    option: 'commandTimeout',
    isWrong: (value) => value !== undefined && value !== null,
    right: 'leave it out: a command that is given up may still take effect. To limit a call, use timeoutMs',
  },
  {
    option: 'keyPrefix',
    isWrong: (value) => value !== undefined && value !== null && value !== '',
    right: "leave it out: BullMQ's keys begin with the option prefix",
  },
];

/** Throws a `TypeError` that names the option and what would be right. */
function refuseUnsuitable(client: Redis | Cluster): void {
  // node-redis has a `duplicate` as well.
  if (typeof client.defineCommand !== 'function' || typeof client.evalsha !== 'function') {
    throw new TypeError('connection: expected a URL, options of ioredis, or a client of ioredis');
  }
  if (client.status === 'end') throw new TypeError('connection: this client has been closed');
  const own = client.isCluster ? optionsOfCluster((client as Cluster).options) : (client as Redis).options;
  for (const { option, isWrong, right } of refused) {
    const value = own[option];
    if (isWrong(value)) throw new TypeError(`connection: this client has ${option} ${String(value)}; ${right}`);
  }
}

/** A cluster's client tries for ever, and the limit of its nodes' is never reached. */
function optionsOfCluster({ redisOptions, enableOfflineQueue, keyPrefix }: ClusterOptions): Partial<RedisOptions> {
  return {
    maxRetriesPerRequest: null,
    ...redisOptions,
    ...(enableOfflineQueue === undefined ? {} : { enableOfflineQueue }),
    ...(keyPrefix ? { keyPrefix } : {}),
  };
}
