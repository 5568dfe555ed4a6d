/**
 * The groups' links in Redis. Waits for a Redis that is away, at the start and later. Says meanwhile what is wrong, so
 * that nobody has to wait for a reply that will not come.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis } from '../redis/connection.ts';
import { createDatabase, type Database } from '../redis/database.ts';
import { connectionClosed, describeError, refusalReasons } from '../redis/errors.ts';
import { createRefusals } from '../redis/outage.ts';
import type { RedisClient } from '../redis/scripts.ts';
import type { RedisTarget } from '../redis/target.ts';
import { createLinkReader, type Reading } from './records.ts';

export interface LinkSource {
  /** Why Redis cannot be read now. Null: it probably can. */
  trouble(): string | null;
  /** The ids of all groups that were ever registered. */
  groups(): Promise<readonly string[]>;
  read(groups: readonly string[]): Promise<Reading>;
}

export interface SourceOptions {
  readonly target: RedisTarget;
  readonly prefix: string;
  /** Reads the target again for each connection, since passwords may change. */
  readonly reread: () => RedisTarget | null;
  /** Closes the connection. */
  readonly signal: AbortSignal;
}

/** Nothing here blocks, so a connection that is silent for this long is dead. */
const silenceMs = 3_000;
const retryMs = 1_000;

/** Resolves once Redis was tried: it is connected, or `trouble()` says why not, and the connection is tried again. */
export async function openSource({ prefix, signal, ...options }: SourceOptions): Promise<LinkSource> {
  let lost: string | null = 'not connected yet';
  let opened: { readonly db: Database; readonly read: ReturnType<typeof createLinkReader> } | null = null;
  const refusals = createRefusals();

  async function connect(): Promise<void> {
    const redis = await connectRedis(options.target, {
      refusals,
      signal,
      silenceMs,
      reread: options.reread,
      onChange: (isConnected, why) => {
        lost = isConnected ? null : why || connectionClosed;
      },
    });
    signal.addEventListener('abort', () => close(redis));
    if (signal.aborted) return close(redis);
    const db = createDatabase(redis, prefix);
    opened = { db, read: createLinkReader(db) };
    lost = null;
  }

  const tryOnce = () =>
    connect().catch((error: Error) => {
      lost = describeError(error);
    });

  async function keepTrying(): Promise<void> {
    while (opened === null && !signal.aborted) {
      await sleep(retryMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await tryOnce();
    }
  }

  function use() {
    if (opened === null) throw new Error(lost ?? connectionClosed);
    return opened;
  }

  await tryOnce();
  void keepTrying();
  return {
    trouble() {
      const refusal = refusals.now();
      return lost ?? (refusal === null ? null : refusalReasons[refusal]);
    },
    async groups() {
      const { redis, keys } = use().db;
      return await redis.hkeys(keys.registered);
    },
    read: async (groups) => await use().read(groups),
  };
}

/** Closing the connection is no outage. */
function close(redis: RedisClient): void {
  redis.removeAllListeners('close');
  redis.disconnect();
}
