/**
 * The library's client, for programs that request rotations. It needs no configuration file: the running worker has
 * registered which instance serves which group.
 */
import type { RequestFields, RotationResult } from '../contract/request.ts';
import { codeIn } from '../groups/jids.ts';
import { isScheduled, knownLink } from '../groups/record.ts';
import { replacedFields } from '../groups/revisions.ts';
import { createGroupStore } from '../groups/store.ts';
import { type Connection, openConnection } from '../redis/connectionOptions.ts';
import { createDatabase } from '../redis/database.ts';
import { flushTraces } from '../tracing/spans.ts';
import { createCalls, retryTransient, untilReady } from './calls.ts';
import { RotationError } from './error.ts';
import { createRequester, type OneOff, type Target } from './requests.ts';
import { unknownGroup } from './unknownGroup.ts';

export interface RotationClientOptions {
  /**
   * A URL, ioredis's options, or an ioredis client, which stays open when this client is closed. A client must have
   * `maxRetriesPerRequest: null`, and neither `commandTimeout`, `keyPrefix` nor `enableOfflineQueue: false`.
   */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
}

export interface CallOptions {
  /** How long the call may take, including reaching Redis. Default: no limit. */
  readonly timeoutMs?: number;
}

/** Who requests the rotation, and why. The events that answer the request repeat it. */
export interface RequestOptions extends CallOptions, RequestFields {}

/** A request that was pushed stays queued after `timeoutMs`. */
export type RotateOptions = RequestOptions;

/** A one-off on its instance's queue. */
export interface Requested {
  /** The group's id. `unknown` until a worker has looked up the link that names it. */
  readonly group: string;
  readonly instance: string;
  readonly requestId: string;
  readonly jobId: string;
}

/** The current link of a group. */
export interface CurrentLink extends Omit<RotationResult, 'status'> {
  /** ISO 8601. Null if no rotation is scheduled. */
  readonly nextRotationAt: string | null;
  /** A call without an answer may have replaced this link. If so, the new link is published within the settle time. */
  readonly uncertain: boolean;
}

export interface RotationClient {
  /**
   * Requests a rotation. `group` is an id, a JID, an invite code or a link. Rejects with a `RotationError` if no worker
   * serves the group. A link that no group is known to have is looked up by the worker.
   */
  request(group: string, options?: RequestOptions): Promise<Requested>;
  /**
   * Requests a rotation and waits for the link, whichever worker, retry or earlier reset it comes from. A link that has
   * been replaced needs no reset: the result says when and why it was. Rejects with a `RotationError` whose code is one of
   * the contract's or one of the library's own.
   */
  rotate(group: string, options?: RotateOptions): Promise<RotationResult>;
  /**
   * The newest known link. Null if there is none yet. Asked with a link that has been replaced, it says when and why it
   * was.
   */
  current(group: string, options?: CallOptions): Promise<CurrentLink | null>;
  /** Rejects pending calls with the code `closed`. Does not wait for an unreachable Redis. */
  close(): Promise<void>;
}

/** Throws a `TypeError` for a connection with unsuitable options. */
export function createRotationClient({ connection, prefix = 'bull' }: RotationClientOptions): RotationClient {
  const opened = openConnection(connection);
  const { redis } = opened;
  const db = createDatabase(redis, prefix);
  const store = createGroupStore(db);
  const requester = createRequester(db, opened.duplicate);
  const calls = createCalls();

  async function find(name: string): Promise<Target> {
    const target = await requester.find(name);
    if (target !== null) return target;
    throw await unknown(name);
  }

  async function unknown(name: string): Promise<RotationError> {
    const ids = await requester.groupIds();
    const reason =
      ids.length === 0
        ? `no worker has registered any group under the prefix "${prefix}": start invite-rotator with this Redis, or pass the prefix of its file`
        : unknownGroup(name, "not in any worker's configuration file", ids);
    return new RotationError('invalid_request', reason);
  }

  function prepare(name: string, info: RequestFields, signal: AbortSignal): Promise<OneOff> {
    return retryTransient(redis, signal, async () => await requester.prepare(await find(name), info));
  }

  async function push(oneOff: OneOff, signal: AbortSignal): Promise<void> {
    await untilReady(redis, signal);
    await retryTransient(redis, signal, () => requester.push(oneOff));
  }

  return {
    request(name, { timeoutMs, ...info } = {}) {
      return calls.run({ timeoutMs, lateMessage: () => notAccepted(name, timeoutMs) }, async (signal) => {
        const oneOff = await prepare(name, info, signal);
        await push(oneOff, signal);
        const { group, instance, jobId, request } = oneOff;
        return { group, instance, requestId: request.requestId, jobId };
      });
    },

    rotate(name, { timeoutMs, ...info } = {}) {
      let lateMessage = notAccepted(name, timeoutMs);
      return calls.run({ timeoutMs, lateMessage: () => lateMessage }, async (signal) => {
        const oneOff = await prepare(name, info, signal);
        const result = requester.resultOf(oneOff, signal);
        await push(oneOff, signal);
        lateMessage = `no link for ${oneOff.group} within ${timeoutMs} ms; the request stays queued`;
        return await result;
      });
    },

    current(name, { timeoutMs } = {}) {
      const lateMessage = () => `Redis did not return the link of ${labelOf(name)} within ${timeoutMs} ms`;
      return calls.run({ timeoutMs, lateMessage }, (signal) =>
        retryTransient(redis, signal, async () => {
          const { group, recordId, replaced } = await find(name);
          // Only a worker can look up a link.
          if (recordId === null) throw await unknown(name);
          const { record } = await store.load(recordId);
          const link = knownLink(record);
          if (link === null) return null;
          const { dueAt, uncertain } = record;
          const nextRotationAt = dueAt === null || !isScheduled(record) ? null : new Date(dueAt).toISOString();
          return { group, ...link, ...replacedFields(replaced), nextRotationAt, uncertain: uncertain !== null };
        }),
      );
    },

    async close() {
      calls.close();
      requester.close();
      await Promise.all([opened.close(), flushTraces()]);
    },
  };
}

/** Messages repeat no link. */
function labelOf(name: string): string {
  return codeIn(name) === null ? name : 'that group';
}

function notAccepted(name: string, timeoutMs: number | undefined): string {
  return `Redis did not accept the request for ${labelOf(name)} within ${timeoutMs} ms`;
}
