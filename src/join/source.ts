/**
 * The groups' links in Redis. Waits for a Redis that is away, at the start and later. Says meanwhile what is wrong, so
 * that nobody has to wait for a reply that will not come.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { inviteLink } from '../contract/event.ts';
import { findGroup } from '../groups/jids.ts';
import { knownLink } from '../groups/record.ts';
import { createGroupStore, type GroupStore, RecordError, readable } from '../groups/store.ts';
import { connectRedis } from '../redis/connection.ts';
import { createDatabase, type Database } from '../redis/database.ts';
import { connectionClosed, describeError, refusalReasons } from '../redis/errors.ts';
import { createRefusals } from '../redis/outage.ts';
import type { RedisClient } from '../redis/scripts.ts';
import type { RedisTarget } from '../redis/target.ts';

/** What Redis holds of a group id. */
export type Found =
  | {
      readonly status: 'registered';
      /** The group's id now: it may have been renamed. */
      readonly group: string;
      readonly jid: string | null;
      /** Null: the first link is not known yet. */
      readonly inviteLink: string | null;
    }
  | { readonly status: 'unknown' }
  /** Another version wrote it, or it is damaged. */
  | { readonly status: 'unreadable' };

export interface Reading {
  /** No group is registered at all. */
  readonly isEmpty: boolean;
  readonly found: ReadonlyMap<string, Found>;
}

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
  let opened: { readonly db: Database; readonly store: GroupStore } | null = null;
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
    opened = { db, store: createGroupStore(db) };
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
    async read(groups) {
      const { db, store } = use();
      const [registered, ...found] = await Promise.all([
        db.redis.hlen(db.keys.registered),
        ...groups.map(async (group) => [group, await readGroup(store, group)] as const),
      ]);
      return { isEmpty: registered === 0, found: new Map(found) };
    },
  };
}

/** Closing the connection is no outage. */
function close(redis: RedisClient): void {
  redis.removeAllListeners('close');
  redis.disconnect();
}

/** As `current` of the library, without the wait. */
async function readGroup(store: GroupStore, group: string): Promise<Found> {
  const found = await readable(
    findGroup(store, group).then(async (one) =>
      one?.registered ? { group: one.entry.group, ...(await store.load(one.recordId)) } : null,
    ),
  );
  if (found === null) return { status: 'unknown' };
  if (found instanceof RecordError) return { status: 'unreadable' };
  const link = knownLink(found.record)?.inviteLink ?? null;
  if (link !== null && !inviteLink.safeParse(link).success) return { status: 'unreadable' };
  return { status: 'registered', group: found.group, jid: found.record.jid, inviteLink: link };
}
