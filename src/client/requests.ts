/**
 * Pushes one-offs and waits for their results, for the library and the command line. Each job has an id of its own, so a
 * push that is sent again after a lost connection makes no second job, and no other job's result is ever taken for its
 * own, not even after Redis was emptied.
 */
import { openQueues } from '../bullmq/queues.ts';
import { createJobWaiter, type JobWaiter, NoResultError } from '../bullmq/wait.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import {
  identityOf,
  type RotationRequest,
  type RotationResult,
  requestJob,
  rotationResult,
} from '../contract/request.ts';
import { findGroup } from '../groups/jids.ts';
import { knownLink } from '../groups/record.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { isAnswered } from '../rotation/decide.ts';

/** A request that bears Redis's time. */
export type StampedRequest = RotationRequest & { readonly requestedAt: number };

export interface OneOff {
  /** Of its job. The same push may be repeated: there is one job in the end. */
  readonly jobId: string;
  readonly instance: string;
  /** The group's record: how a group that is renamed meanwhile is known. */
  readonly recordId: string;
  readonly request: StampedRequest;
}

export interface ExpectedResult {
  /** To be told once the one-off was pushed. */
  pushed(): void;
  /** Rejects with a `NoResultError`, or with the signal's reason. Never unhandled. */
  readonly result: Promise<RotationResult>;
}

export interface OneOffs {
  push(oneOff: OneOff): Promise<void>;
  /** Waits for the result until the signal is aborted. To be called before the push. */
  expect(oneOff: OneOff, signal: AbortSignal): ExpectedResult;
  /** BullMQ's word for it: `waiting`, `delayed`, ... */
  stateOf(oneOff: OneOff): Promise<string>;
  close(): void;
}

export interface OneOffsOptions extends Database {
  /** Opens a connection for reads that block. */
  readonly duplicate: () => RedisClient;
}

export function createOneOffs(options: OneOffsOptions): OneOffs {
  const { redis, duplicate, prefix } = options;
  const store = createGroupStore(options);
  const queues = openQueues({ redis, prefix, queueName: rotationsQueue });
  const waiters = new Map<string, JobWaiter>();

  const waiterOf = (instance: string) =>
    memoize(waiters, instance, () => createJobWaiter({ redis, duplicate, prefix, queue: rotationsQueue(instance) }));

  /** A job that is gone may have been answered: its group's record shows. null: not as far as anybody knows. */
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
    };
    if (link === null || !isAnswered(record, asked, nowMs)) return null;
    return { status: 'satisfied', group: found.entry.group, ...link };
  }

  return {
    /** The job's own time is Redis's too: a producer's clock may be wrong, and the worker compares the two. */
    async push({ jobId, instance, request }) {
      await queues.queueOf(instance).add(requestJob, request, { jobId, timestamp: request.requestedAt });
    },

    expect(oneOff, signal) {
      const { pushed, end } = waiterOf(oneOff.instance).expect(oneOff.jobId, oneOff.request.requestedAt, signal);
      const result = end.then(
        (value) => checked(value, oneOff),
        async (error) => {
          if (!(error instanceof NoResultError) || error.why !== 'removed') throw error;
          const answer = await answerTo(oneOff).catch(() => null);
          if (answer === null) throw error;
          return answer;
        },
      );
      result.catch(() => {});
      return { pushed, result };
    },

    stateOf: ({ jobId, instance }) => queues.queueOf(instance).getJobState(jobId),

    close() {
      for (const waiter of waiters.values()) waiter.close();
      // They share a connection that stays open, so there is nothing to wait for.
      queues.close().catch(() => {});
    },
  };
}

/** What came off the queue, if it is a link of the group that was asked for. */
function checked(value: unknown, { recordId, request: { group } }: OneOff): RotationResult {
  const result = rotationResult.safeParse(value);
  if (!result.success) throw new Error(`the result of the job for ${group} is not one of this version`);
  if (result.data.group !== group && result.data.jid !== recordId) {
    throw new Error(`the job for ${group} ended with a link of ${result.data.group}`);
  }
  return result.data;
}

function memoize<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
