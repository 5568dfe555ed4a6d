/**
 * For programs that ask for rotations: needs no configuration file, since the running worker has registered which
 * instance serves which group. One-offs are stamped (`queues/stamp.ts`), so a reset that began later answers them.
 */
import { randomUUID } from 'node:crypto';
import { type Job, Queue, QueueEvents } from 'bullmq';
import { closest } from 'fastest-levenshtein';
import { type FoundGroup, findGroup } from '../groups/find.ts';
import { isScheduled, type KnownLink, knownLink } from '../groups/record.ts';
import { parseRegistration } from '../groups/registration.ts';
import { createGroupStore } from '../groups/store.ts';
import {
  type RotationRequest,
  type RotationResult,
  requestJob,
  rotationRequest,
  rotationResult,
} from '../queues/request.ts';
import { stampOf } from '../queues/stamp.ts';
import { endOf, NotEndedError } from '../queues/wait.ts';
import { type Connection, openConnection } from '../redis/given.ts';
import { makeKeys, rotationsQueue } from '../redis/keys.ts';
import { isJid } from '../ryze/identifier.ts';
import { RotationError, rotationErrorOf } from './error.ts';

export interface RotationClientOptions {
  /** A URL, ioredis's options, or a client of yours, which stays open when this one is closed. */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
}

/** Who asks, and why: repeated in the events that answer it. */
export type RequestOptions = Pick<RotationRequest, 'reason' | 'requestId' | 'requestedBy'>;

export interface RotateOptions extends RequestOptions {
  /** How long to wait for the link; the request stays queued after that. Default: as long as it takes. */
  readonly timeoutMs?: number;
}

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
   * `RotationError` that has the contract's code.
   */
  rotate(group: string, options?: RotateOptions): Promise<RotationResult>;
  /** The newest link that is known; null: there was none yet. */
  current(group: string): Promise<CurrentLink | null>;
  close(): Promise<void>;
}

/** Longest time that a timer can wait: "as long as it takes". */
const foreverMs = 2 ** 31 - 1;

export function createRotationClient({ connection, prefix = 'bull' }: RotationClientOptions): RotationClient {
  const { redis, close } = openConnection(connection);
  const keys = makeKeys(prefix);
  const store = createGroupStore(redis, keys);
  const queues = new Map<string, Queue>();
  const listeners = new Map<string, QueueEvents>();

  function queueOf(instance: string): Queue {
    return kept(queues, instance, () => {
      const queue = new Queue(rotationsQueue(instance), { connection: redis, prefix });
      queue.on('error', () => {});
      queue.setMaxListeners(0);
      return queue;
    });
  }

  function listenerOf(instance: string): QueueEvents {
    return kept(listeners, instance, () => {
      const listener = new QueueEvents(rotationsQueue(instance), { connection: redis, prefix });
      listener.on('error', () => {});
      listener.setMaxListeners(0);
      return listener;
    });
  }

  async function find(name: string): Promise<FoundGroup> {
    const found = await findGroup(redis, keys, store, name);
    if (found?.registered) return found;
    const known = Object.entries(await redis.hgetall(keys.registered))
      .filter(([, json]) => parseRegistration(json)?.removedAt === null)
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

  async function push(name: string, options: RequestOptions): Promise<{ requested: Requested; job: Job }> {
    const { recordId, entry } = await find(name);
    const { group, instance } = entry;
    const requestId = options.requestId ?? randomUUID();
    const { reason, requestedBy } = options;
    const asked = rotationRequest.safeParse({
      group,
      reason,
      requestedBy,
      requestId,
      ...(await stampOf({ redis, keys, store }, recordId)),
    });
    if (!asked.success) {
      const [issue] = asked.error.issues;
      throw new RotationError('invalid_request', `${issue?.path.join('.')}: ${issue?.message}`);
    }
    const job = await queueOf(instance).add(requestJob, asked.data);
    return { requested: { group, instance, requestId, jobId: job.id ?? '' }, job };
  }

  return {
    async request(group, options = {}) {
      return (await push(group, options)).requested;
    },

    async rotate(group, { timeoutMs = foreverMs, ...options } = {}) {
      const { requested, job } = await push(group, options);
      try {
        return rotationResult.parse(await endOf(job, listenerOf(requested.instance), timeoutMs));
      } catch (error) {
        if (!(error instanceof NotEndedError)) throw rotationErrorOf(error);
        throw new RotationError(
          'timeout',
          `no link for ${requested.group} within ${timeoutMs} ms; the request stays queued`,
        );
      }
    },

    async current(name) {
      const { recordId, entry } = await find(name);
      const { record } = await store.load(recordId);
      const link = knownLink(record);
      if (link === null) return null;
      const nextRotationAt =
        record.dueAt === null || !isScheduled(record) ? null : new Date(record.dueAt).toISOString();
      return { group: entry.group, ...link, nextRotationAt, uncertain: record.uncertain !== null };
    },

    async close() {
      await Promise.all([...listeners.values(), ...queues.values()].map((opened) => opened.close()));
      await close();
    },
  };
}

function kept<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
