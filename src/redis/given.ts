/** Redis connections for the library: what its user gives, as BullMQ takes it. */
import { type Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisClient } from './scripts.ts';

/** A URL (`redis://`, `rediss://`), ioredis's options, or a client. */
export type Connection = string | RedisOptions | Redis | Cluster;

export interface Opened {
  readonly redis: RedisClient;
  /** Closes what was opened here; a client that was given stays open. */
  close(): Promise<void>;
}

/** Workers and listeners block on their own duplicates, which must not give up: neither does what is opened here. */
export function openConnection(connection: Connection): Opened {
  if (isClient(connection)) {
    return { redis: connection, close: () => Promise.resolve() };
  }
  const options = { maxRetriesPerRequest: null };
  const redis =
    typeof connection === 'string' ? new Redis(connection, options) : new Redis({ ...connection, ...options });
  redis.on('error', () => {
    // BullMQ's users tell of it where they wait; the client connects again by itself.
  });
  return {
    redis,
    async close() {
      await redis.quit().catch(() => redis.disconnect());
    },
  };
}

/** By what it can do: it may come from another copy of ioredis. */
function isClient(connection: Connection): connection is Redis | Cluster {
  return typeof connection === 'object' && 'duplicate' in connection && typeof connection.duplicate === 'function';
}
