/**
 * For programs that ask for rotations: needs no configuration file, since the running worker has registered which
 * instance serves which group. One-offs are stamped (`queues/stamp.ts`), so a reset that began later answers them.
 */
import { randomUUID } from 'node:crypto';
import { closest } from 'fastest-levenshtein';
import { type RotationRequest, type RotationResult, rotationRequest } from '../contract/request.ts';
import { type FoundGroup, findGroup } from '../groups/jids.ts';
import { isScheduled, type KnownLink, knownLink } from '../groups/record.ts';
import { createGroupStore } from '../groups/store.ts';
import { type Connection, openConnection } from '../redis/connectionOptions.ts';
import { createDatabase } from '../redis/database.ts';
import { isJid } from '../ryze/identifier.ts';
import { createCalls, retryTransient, untilReady } from './calls.ts';
import { RotationError } from './error.ts';
import { createOneOffs, type OneOff } from './requests.ts';
import { stampOf } from './stamp.ts';

export interface RotationClientOptions {
  /**
   * A URL, ioredis's options, or a client of yours, which stays open when this one is closed. A client must have
   * `maxRetriesPerRequest: null`, and neither `commandTimeout`, `keyPrefix` nor `enableOfflineQueue: false`.
   */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
}

export interface CallOptions {
  /** How long the call may take, reaching Redis included. Default: as long as it takes. */
  readonly timeoutMs?: number;
}

/** Who asks, and why: repeated in the events that answer it. */
export interface RequestOptions extends CallOptions, Pick<RotationRequest, 'reason' | 'requestId' | 'requestedBy'> {}

/** After `timeoutMs`, a request that was pushed stays queued. */
export type RotateOptions = RequestOptions;

/** A one-off that lies on its instance's queue. */
export interface Requested {
  readonly group: string;
  readonly instance: string;
  readonly requestId: string;
  readonly jobId: string;
}

/** What is known of a group's link. */
export interface CurrentLink extends KnownLink {
  readonly group: string;
  /** ISO 8601; null: none is planned. */
  readonly nextRotationAt: string | null;
  /** A call without an answer may have killed this link: a newer one, if there is one, is told within the settle time. */
  readonly uncertain: boolean;
}

export interface RotationClient {
  /** Asks for a rotation; `group`: its id or JID. Rejects with a `RotationError` if nobody serves that group. */
  request(group: string, options?: RequestOptions): Promise<Requested>;
  /**
   * The same, and waits for the link, whichever worker, retry or earlier reset leads to it. Rejects with a
   * `RotationError` whose code says why: the contract's, or one of the library's own.
   */
  rotate(group: string, options?: RotateOptions): Promise<RotationResult>;
  /** The newest link that is known; null: there was none yet. */
  current(group: string, options?: CallOptions): Promise<CurrentLink | null>;
  /** Rejects calls that are pending, with the code `closed`. Does not wait for a Redis that is away. */
  close(): Promise<void>;
}

/** Throws a `TypeError` for a connection that cannot do what is promised here. */
export function createRotationClient({ connection, prefix = 'bull' }: RotationClientOptions): RotationClient {
  const { redis, duplicate, close } = openConnection(connection);
  const db = createDatabase(redis, prefix);
  const store = createGroupStore(db);
  const oneOffs = createOneOffs({ ...db, duplicate });
  const calls = createCalls();

  async function find(name: string): Promise<FoundGroup> {
    const found = await findGroup(store, name);
    if (found?.registered) return found;
    const known = [...(await store.registrations())]
      .filter(([, registration]) => registration?.removedAt === null)
      .map(([group]) => group);
    if (known.length === 0) {
      throw new RotationError(
        'invalid_request',
        `no worker has ever registered its groups under the prefix "${prefix}": start invite-rotator with this Redis, or name the prefix of its file`,
      );
    }
    const hint = isJid(name) ? '' : `; did you mean "${closest(name, known)}"?`;
    throw new RotationError(
      'invalid_request',
      `unknown group ${JSON.stringify(name.slice(0, 64))}: it is in no worker's configuration file${hint}`,
    );
  }

  /** A request that is checked and stamped, and where it goes. */
  async function prepare(name: string, options: RequestOptions, signal: AbortSignal): Promise<Prepared> {
    const { reason, requestedBy } = options;
    const requestId = options.requestId ?? randomUUID();
    const { entry, recordId, stamp } = await retryTransient(redis, signal, async () => {
      const found = await find(name);
      return { ...found, stamp: await stampOf({ ...db, store }, found.recordId) };
    });
    const parsed = rotationRequest.safeParse({ group: entry.group, reason, requestedBy, requestId, ...stamp });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new RotationError('invalid_request', `${issue?.path.join('.')}: ${issue?.message}`);
    }
    const { group, instance } = entry;
    const jobId = randomUUID();
    return {
      requested: { group, instance, requestId, jobId },
      oneOff: { jobId, instance, recordId, request: { ...parsed.data, ...stamp } },
    };
  }

  async function push(oneOff: OneOff, signal: AbortSignal): Promise<void> {
    await untilReady(redis, signal);
    await retryTransient(redis, signal, () => oneOffs.push(oneOff));
  }

  return {
    request(group, options = {}) {
      return calls.run(
        { timeoutMs: options.timeoutMs, lateMessage: () => notTaken(group, options) },
        async (signal) => {
          const { requested, oneOff } = await prepare(group, options, signal);
          await push(oneOff, signal);
          return requested;
        },
      );
    },

    rotate(group, options = {}) {
      const { timeoutMs } = options;
      let late = notTaken(group, options);
      return calls.run({ timeoutMs, lateMessage: () => late }, async (signal) => {
        const { requested, oneOff } = await prepare(group, options, signal);
        const { pushed, result } = oneOffs.expect(oneOff, signal);
        await push(oneOff, signal);
        pushed();
        late = `no link for ${requested.group} within ${timeoutMs} ms; the request stays queued`;
        return await result;
      });
    },

    current(name, { timeoutMs } = {}) {
      const lateMessage = () => `Redis has not told the link of ${name} within ${timeoutMs} ms`;
      return calls.run({ timeoutMs, lateMessage }, (signal) =>
        retryTransient(redis, signal, async () => {
          const { recordId, entry } = await find(name);
          const { record } = await store.load(recordId);
          const link = knownLink(record);
          if (link === null) return null;
          const nextRotationAt =
            record.dueAt === null || !isScheduled(record) ? null : new Date(record.dueAt).toISOString();
          return { group: entry.group, ...link, nextRotationAt, uncertain: record.uncertain !== null };
        }),
      );
    },

    async close() {
      calls.close();
      oneOffs.close();
      await close();
    },
  };
}

interface Prepared {
  readonly requested: Requested;
  readonly oneOff: OneOff;
}

function notTaken(group: string, { timeoutMs }: CallOptions): string {
  return `Redis has not taken the request for ${group} within ${timeoutMs} ms`;
}
