/**
 * What a job of a `rotations-<instance>` queue asks for. Everything that came off a queue is checked here, and one that
 * cannot be served is refused with a reason for its producer.
 */

import { type Job, UnrecoverableError } from 'bullmq';
import type { z } from 'zod';
import { rotationsQueue } from '../contract/queueNames.ts';
import { identityOf, parseRequest, type RotationRequest, requestJob } from '../contract/request.ts';
import { type FoundGroup, findGroup } from '../groups/jids.ts';
import type { GroupStore } from '../groups/store.ts';
import { scheduledData, scheduledJob, verifyData, verifyJob } from '../planner/jobs.ts';
import { type Database, redisTime } from '../redis/database.ts';
import type { CallDependencies } from '../rotation/call.ts';
import type { JobPosition, Work } from '../rotation/types.ts';
import type { InstanceOwner } from './leftovers.ts';

export interface ReadJobDependencies extends Database {
  readonly store: GroupStore;
  readonly lastJobOn: CallDependencies['lastJobOn'];
  /** Whose configuration file has that instance. */
  readonly instanceOwner: (instance: string) => InstanceOwner;
  /** Whether this worker's file says something that is not in force yet; makes that happen soon. */
  readonly hasPendingEdit: () => Promise<boolean>;
}

export type Request = Work & { readonly kind: 'request' };

/** A one-off that names a group, and is not served. */
export interface Refused {
  /** As the producer named the group. */
  readonly name: string;
  readonly work: Request;
  /** For the producer. */
  readonly message: string;
  /** null: nobody has registered such a group. */
  readonly recordId: string | null;
}

export type Understood =
  /** `name`: what the log calls its group. `servedBy`: the instance that makes its calls. */
  | {
      readonly kind: 'work';
      readonly recordId: string;
      readonly work: Work;
      readonly name: string;
      readonly servedBy: string;
      /** Whether a file has the group. */
      readonly registered: boolean;
    }
  /** Another worker may know better, or this one soon: it goes back for some seconds. */
  | { readonly kind: 'notNow'; readonly name: string }
  /** What the planner put onto the queue of an instance that is gone: it looks after the group where that is now. */
  | { readonly kind: 'obsolete'; readonly name: string }
  | ({ readonly kind: 'refused' } & Refused);

/** Throws what its producer must be told where the job does not even name a group. */
export async function readJob(deps: ReadJobDependencies, instance: string, job: Job): Promise<Understood> {
  switch (job.name) {
    case requestJob: {
      const parsed = parseRequest(job.data);
      if (!parsed.ok) throw new UnrecoverableError(parsed.message);
      return await readRequest(deps, instance, job, parsed.request);
    }
    case scheduledJob: {
      const { record, group, dueAt } = parseInternal(scheduledData, job);
      return ofPlanner(deps, instance, record, group, { kind: 'scheduled', dueAt });
    }
    case verifyJob: {
      const { record, group } = parseInternal(verifyData, job);
      return ofPlanner(deps, instance, record, group, { kind: 'verification' });
    }
    default:
      throw new UnrecoverableError(
        `unknown job name ${JSON.stringify(job.name.slice(0, 64))}: expected "${requestJob}"`,
      );
  }
}

function ofPlanner(
  { instanceOwner }: ReadJobDependencies,
  instance: string,
  recordId: string,
  name: string,
  work: Work,
): Understood {
  switch (instanceOwner(instance)) {
    case 'self':
      return { kind: 'work', recordId, work, name, servedBy: instance, registered: true };
    case 'other':
      return { kind: 'notNow', name };
    case 'none':
      return { kind: 'obsolete', name };
  }
}

export function unknownGroup(name: string): string {
  return `unknown group ${quote(name)}: it is not in the configuration file`;
}

async function readRequest(
  deps: ReadJobDependencies,
  instance: string,
  job: Job,
  { group: name, requestedAt, seen, requestId, requestedBy, reason }: RotationRequest,
): Promise<Understood> {
  const queue = rotationsQueue(instance);
  const isRerun = job.attemptsMade > 0;
  const work: Request = {
    kind: 'request',
    identity: identityOf({ queue, jobId: job.id, timestamp: job.timestamp, run: job.attemptsMade }),
    // One that is run again, from a dashboard say, wants a link that is younger than that.
    requestedAt: requestedAt == null || isRerun ? null : await believed(deps, requestedAt, job.timestamp),
    attemptsSeen: null,
    position: isRerun ? null : await positionOf(deps, queue, job),
    request: { requestId: requestId ?? null, requestedBy: requestedBy ?? null, reason: reason ?? null },
  };
  const found = await findGroup(deps.store, name);
  const owner = deps.instanceOwner(instance);
  if (found === null) {
    if (owner === 'other' || (await deps.hasPendingEdit())) return { kind: 'notNow', name };
    return { kind: 'refused', name, work, message: unknownGroup(name), recordId: null };
  }
  const { recordId, entry, registered } = found;
  const attemptsSeen = !isRerun && seen?.record === recordId ? seen.attempts : null;
  const of = { recordId, name: entry.group, servedBy: entry.instance, registered };
  const understood = { kind: 'work', work: { ...work, attemptsSeen }, ...of } as const;
  if (!registered && (owner === 'other' || (await deps.hasPendingEdit()))) return { kind: 'notNow', name };
  if (owner !== 'self' || isServedHere(found, instance, job)) return understood;
  if (await wasServedHere(deps, recordId, requestedAt ?? job.timestamp)) return understood;
  // An older file lacks the instance that has the group: the worker with the newer one decides.
  if (deps.instanceOwner(entry.instance) !== 'self' || (await deps.hasPendingEdit())) return { kind: 'notNow', name };
  const message = `group ${quote(name)} belongs to instance "${entry.instance}": push it to the queue "${rotationsQueue(entry.instance)}"`;
  return { kind: 'refused', name, work, message, recordId };
}

/**
 * One that its worker had taken before stays valid wherever its group has moved since: it was accepted, and its reset may
 * be in flight.
 */
function isServedHere({ entry, registered }: FoundGroup, instance: string, job: Job): boolean {
  return entry.instance === instance || !registered || job.attemptsStarted - job.attemptsMade > 1;
}

/** Producers read which instance has a group, and push a moment later, by clocks that differ. */
const movedSkewMs = 10_000;

/** It was pushed before its group was moved to another instance. */
async function wasServedHere({ store }: ReadJobDependencies, recordId: string, pushedAt: number): Promise<boolean> {
  const { movedAt } = (await store.load(recordId)).record;
  return movedAt !== null && pushedAt <= movedAt + movedSkewMs;
}

/** Stamps by Redis's clock and by the producer's may differ by this much; more is not believed. */
const stampSkewMs = 10 * 60_000;
/** A stamp that is later than both by more than this is not a time at which anybody asked. */
const futureMs = 30_000;

/**
 * null: a stamp so far from when the job was pushed is by some other clock, and one from about when Redis's clock was set
 * back may be older or younger than it looks. Either says nothing.
 */
async function believed(deps: ReadJobDependencies, requestedAt: number, pushedAt: number): Promise<number | null> {
  const doubtedUntil = Number((await deps.redis.get(deps.keys.clockDoubt)) ?? 0);
  if (requestedAt <= doubtedUntil) return null;
  const aheadMs = requestedAt - Math.max(await redisTime(deps), pushedAt);
  if (aheadMs > futureMs) {
    throw new UnrecoverableError(
      `bad request (requestedAt: is ${Math.round(aheadMs / 1000)} s in the future): leave it out, or take it from Redis's TIME`,
    );
  }
  return Math.abs(requestedAt - pushedAt) > stampSkewMs ? null : requestedAt;
}

/** null: the id is the producer's own, and says nothing of when the job was pushed. */
async function positionOf(deps: ReadJobDependencies, queue: string, job: Job): Promise<JobPosition | null> {
  if (!/^[1-9]\d{0,15}$/.test(job.id ?? '')) return null;
  const { lastJob } = await deps.lastJobOn(queue);
  return { queue, number: Number(job.id), newest: lastJob, pushedAt: job.timestamp };
}

/** Jobs that only the planner pushes. */
function parseInternal<T extends z.ZodType>(schema: T, job: Job): z.output<T> {
  const parsed = schema.safeParse(job.data);
  if (parsed.success) return parsed.data;
  throw new UnrecoverableError(`bad data: "${job.name}" is a job of the program itself; push "${requestJob}"`);
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
