/**
 * Redis connections for the library: what its user gives, as BullMQ takes it. Everything opened here waits for a Redis
 * that is away for as long as that lasts, and ends at once when it is closed, whether Redis answers or not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisClient } from './scripts.ts';
import { refuseUnsuitable } from './unsuitable.ts';

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
export function openOwn(connection: Connection): Omit<Opened, 'duplicate'> {
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
