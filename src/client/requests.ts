/**
 * The requester: finds a group, pushes a one-off for it, and waits for the result. The library and the command `rotate`
 * share it.
 *
 * Each job has an id of its own. So a push that is repeated after a lost connection makes no second job, and no other
 * job's result is taken for this one's, even after Redis was emptied.
 */
import { randomUUID } from 'node:crypto';
import { openQueues } from '../bullmq/queues.ts';
import { createJobWaiter, type JobWaiter, NoResultError } from '../bullmq/wait.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import {
  identityOf,
  type RequestFields,
  type RotationRequest,
  type RotationResult,
  requestJob,
  rotationRequest,
  rotationResult,
} from '../contract/request.ts';
import { findLink } from '../groups/history.ts';
import { codeIn, type FoundGroup, findGroup } from '../groups/jids.ts';
import { knownLink } from '../groups/record.ts';
import { type Replacement, replacedFields } from '../groups/revisions.ts';
import { createGroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { isAnswered } from '../rotation/decide.ts';
import { inviteLinkOf } from '../ryze/identifier.ts';
import { inSpan } from '../tracing/spans.ts';
import { RotationError } from './error.ts';

/** Where a request for a group goes. */
export interface Target {
  readonly group: string;
  readonly instance: string;
  /** The group's record, by which a group that is renamed later is still recognized. Null: it is to be looked up. */
  readonly recordId: string | null;
  /** The invite code by which it was named. Null: it was named by its id or JID. */
  readonly code: string | null;
  /** How the link that names it was replaced, if it was. */
  readonly replaced: Replacement | null;
}

/** The id of a group that is not known until its link has been looked up. */
const unknownId = 'unknown';

export interface OneOff extends Target {
  readonly jobId: string;
  /** Stamped with Redis's time, so that a reset that begins later answers it. */
  readonly request: RotationRequest & { readonly requestId: string; readonly requestedAt: number };
}

export interface Requester {
  /**
   * Finds a group by its id, JID, invite code or link. Null if it is in no worker's file. A link that no group is known to
   * have is looked up by a worker: the target is then the instance with the most groups.
   */
  find(name: string): Promise<Target | null>;
  /** The ids of all registered groups. */
  groupIds(): Promise<string[]>;
  /** Stamps a request. Rejects with a `RotationError` if it is not valid. */
  prepare(target: Target, info: RequestFields): Promise<OneOff>;
  /** May be repeated: there is one job in the end. */
  push(oneOff: OneOff): Promise<void>;
  /**
   * Waits for the result until the signal is aborted. Rejects with a `NoResultError` or the signal's reason, never
   * unhandled. Call it before the push.
   */
  resultOf(oneOff: OneOff, signal: AbortSignal): Promise<RotationResult>;
  /** BullMQ's name of the job's state: `waiting`, `delayed`, ... */
  stateOf(oneOff: OneOff): Promise<string>;
  close(): void;
}

/** `duplicate`: opens a connection for reads that block. */
export function createRequester(db: Database, duplicate: () => RedisClient): Requester {
  const { redis, prefix } = db;
  const store = createGroupStore(db);
  const queues = openQueues({ redis, prefix, queueName: rotationsQueue });
  const waiters = new Map<string, JobWaiter>();

  function waiterOf(instance: string): JobWaiter {
    let waiter = waiters.get(instance);
    if (waiter === undefined) {
      waiter = createJobWaiter(db, duplicate, rotationsQueue(instance));
      waiters.set(instance, waiter);
    }
    return waiter;
  }

  async function stampOf(recordId: string | null): Promise<Pick<OneOff['request'], 'requestedAt' | 'seen'>> {
    if (recordId === null) return { requestedAt: await redisTime(db) };
    const loaded = await readable(store.load(recordId));
    if (loaded instanceof RecordError) return { requestedAt: await redisTime(db) };
    return { requestedAt: loaded.nowMs, seen: { record: recordId, attempts: loaded.record.attempts } };
  }

  /** The group's record shows whether a job that is gone was answered. Null: not as far as it shows. */
  async function answerTo({ jobId, instance, request }: OneOff): Promise<RotationResult | null> {
    const { group, requestedAt, seen } = request;
    const found = await findGroup(store, group);
    if (found === null) return null;
    const { record, nowMs } = await store.load(found.recordId);
    const link = knownLink(record);
    const asked = {
      identity: identityOf({ queue: rotationsQueue(instance), jobId, timestamp: requestedAt, run: 0 }),
      requestedAt,
      attemptsSeen: seen?.record === found.recordId ? seen.attempts : null,
      position: null,
      link: found.code === null ? null : { code: found.code, isReplaced: false },
    };
    if (link === null) return null;
    const replaced = await replacementOf(found.code);
    if (replaced === null && !isAnswered(record, asked, nowMs)) return null;
    return { status: 'satisfied', group: found.entry.group, ...link, ...replacedFields(replaced) };
  }

  async function targetOf({ recordId, entry, code }: FoundGroup): Promise<Target> {
    return { group: entry.group, instance: entry.instance, recordId, code, replaced: await replacementOf(code) };
  }

  /** How the link that names a group was replaced. Null: it was not, or the group has another kind of name. */
  async function replacementOf(code: string | null): Promise<Replacement | null> {
    return code === null ? null : ((await findLink(db, code))?.replaced ?? null);
  }

  /** The instance with the most groups, because its phone is the most likely to be a member of any. */
  async function mainInstance(): Promise<string | null> {
    const counts = new Map<string, number>();
    for (const known of (await store.registrations()).values()) {
      if (known?.removedAt !== null) continue;
      const { instance } = known.entry;
      counts.set(instance, (counts.get(instance) ?? 0) + 1);
    }
    const [most] = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
    return most?.[0] ?? null;
  }

  /** The job's return value, if it is a link of the requested group. */
  async function parseResult(value: unknown, { recordId, group, code }: OneOff): Promise<RotationResult> {
    const result = rotationResult.safeParse(value);
    if (!result.success) {
      throw new Error(`the result of the job for ${group} does not match the schema of this version`);
    }
    const { group: named, jid } = result.data;
    const expected = recordId ?? (code === null ? null : await store.linkedRecord(code)) ?? jid;
    if (named !== group && jid !== expected) throw new Error(`the job for ${group} returned a link of ${named}`);
    return result.data;
  }

  return {
    async find(name) {
      const found = await findGroup(store, name);
      if (found !== null) return found.registered ? await targetOf(found) : null;
      const code = codeIn(name);
      const instance = code === null ? null : await mainInstance();
      return instance === null ? null : { group: unknownId, instance, recordId: null, code, replaced: null };
    },

    async groupIds() {
      const registrations = [...(await store.registrations())];
      return registrations.filter(([, known]) => known?.removedAt === null).map(([id]) => id);
    },

    async prepare(target, { reason, requestedBy, requestId }) {
      const { recordId, code } = target;
      const stamp = await stampOf(recordId);
      // The link itself: it may be replaced before the job runs.
      const group = code === null ? target.group : inviteLinkOf(code);
      const anyInstance = recordId === null ? { anyInstance: true } : {};
      const request = { group, reason, requestedBy, requestId: requestId ?? randomUUID(), ...stamp, ...anyInstance };
      const parsed = rotationRequest.safeParse(request);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new RotationError('invalid_request', `${issue?.path.join('.')}: ${issue?.message}`);
      }
      return { ...target, jobId: randomUUID(), request };
    },

    async push({ group, jobId, instance, request }) {
      // The job has Redis's time too: this machine's clock may be wrong, and the worker compares the two.
      const add = () => queues.queueOf(instance).add(requestJob, request, { jobId, timestamp: request.requestedAt });
      await inSpan('request rotation', { attributes: { group, instance } }, add);
      waiters.get(instance)?.pushed(jobId);
    },

    resultOf(oneOff, signal) {
      const { jobId, instance, request } = oneOff;
      const result = waiterOf(instance)
        .resultOf(jobId, request.requestedAt, signal)
        .then(
          (value) => parseResult(value, oneOff),
          async (error) => {
            if (!(error instanceof NoResultError) || error.why !== 'removed') throw error;
            const answer = await answerTo(oneOff).catch(() => null);
            if (answer === null) throw error;
            return answer;
          },
        );
      result.catch(() => {});
      return result;
    },

    stateOf: ({ jobId, instance }) => queues.queueOf(instance).getJobState(jobId),

    close() {
      for (const waiter of waiters.values()) waiter.close();
      // Not awaited: the queues share a connection that stays open.
      queues.close().catch(() => {});
    },
  };
}
