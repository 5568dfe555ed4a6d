/**
 * Reads what a job of a `rotations-<instance>` queue asks for. Everything that comes off a queue is checked here. A job
 * that cannot be served is refused with a reason for its producer.
 */
import type { Job } from 'bullmq';
import { rotationsQueue } from '../contract/queueNames.ts';
import { parseRequest, type RotationRequest, requestJob } from '../contract/request.ts';
import { findLink } from '../groups/history.ts';
import { codeIn, type FoundGroup, findGroup } from '../groups/jids.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import { scheduledData, scheduledJob, verifyData, verifyJob } from '../planner/jobs.ts';
import { redisTime } from '../redis/database.ts';
import { unknownGroup } from '../rotation/rotate.ts';
import type { JobProgress, JobResult, OneOff, RotationDependencies, Work } from '../rotation/types.ts';
import { readIdentifier } from '../ryze/identifier.ts';
import { identityOfJob, runOf } from './complete.ts';
import type { InstanceOwner } from './leftovers.ts';
import { numberOf } from './ownIds.ts';
import { findByLink, type LinkJob } from './readLink.ts';

/** What running jobs needs in addition to what rotating needs. */
export interface JobDependencies extends RotationDependencies {
  readonly log: Logger;
  readonly observer: Observer;
  /** The instances of the configuration file. */
  readonly instances: () => readonly string[];
  /** Whose configuration file has that instance. */
  readonly instanceOwner: (instance: string) => InstanceOwner;
  /** Whether this worker's file has changes that are not in force yet. */
  readonly hasPendingEdit: () => Promise<boolean>;
  /** Called for a group that is not registered. Registers it and returns true if the file in force has it. */
  readonly onUnknown: (name: string) => Promise<boolean>;
  /** Called for a record that a one-off needs and Redis has lost. */
  readonly onLost: (recordId: string) => Promise<void>;
  /** Results queues of the configuration in force, for the events of unknown groups. */
  readonly resultsQueues: () => readonly string[];
}

/** What a job asks for. */
export interface Task {
  readonly recordId: string;
  readonly work: Work;
  /** What the log calls the group. */
  readonly name: string;
  /** The instance that makes the group's calls. */
  readonly servedBy: string;
  /** Whether a file has the group. */
  readonly registered: boolean;
}

/** Another worker may know better, or this one once it has read its file. */
const notNow: JobResult = { status: 'wait', ms: 3_000, why: 'elsewhere' };

export async function readJob(
  deps: JobDependencies,
  instance: string,
  job: Job,
  past: JobProgress,
): Promise<Task | JobResult> {
  switch (job.name) {
    case requestJob: {
      const parsed = parseRequest(job.data);
      if (!parsed.ok) return { status: 'refused', message: parsed.message };
      return await readRequest(deps, instance, { job, past }, parsed.request);
    }
    case scheduledJob: {
      const { success, data } = scheduledData.safeParse(job.data);
      return success ? ofPlanner(deps, instance, data, { kind: 'scheduled', dueAt: data.dueAt }) : badData(job);
    }
    case verifyJob: {
      const { success, data } = verifyData.safeParse(job.data);
      const isPeriodic = success && data.kind === 'idle';
      return success ? ofPlanner(deps, instance, data, { kind: 'verification', isPeriodic }) : badData(job);
    }
  }
  // Its id is on the queue without the job, which was removed by other means than BullMQ's.
  const name = (job.name as string | undefined) ?? '';
  const message = `${name === '' ? 'no job name' : `unknown job name ${quote(name)}`}: expected "${requestJob}"`;
  return { status: 'refused', message };
}

/** A job that only the planner pushes. */
function ofPlanner(
  { instanceOwner }: JobDependencies,
  instance: string,
  { record, group }: { readonly record: string; readonly group: string },
  work: Work,
): Task | JobResult {
  switch (instanceOwner(instance)) {
    case 'self':
      return { recordId: record, work, name: group, servedBy: instance, registered: true };
    case 'other':
      return notNow;
    // The planner serves the group on its current instance.
    case 'none':
      return { status: 'obsolete' };
  }
}

function badData({ name }: Job): JobResult {
  const message = `bad data: "${name}" is a job of the program itself; push "${requestJob}"`;
  return { status: 'refused', message };
}

async function readRequest(
  deps: JobDependencies,
  instance: string,
  { job, past }: { readonly job: Job; readonly past: JobProgress },
  { group: name, requestedAt, seen, requestId, requestedBy, reason, anyInstance }: RotationRequest,
): Promise<Task | JobResult> {
  const queue = rotationsQueue(instance);
  const pushedAt = requestedAt ?? job.timestamp;
  // A job that is run again, from a dashboard say, needs a link that is newer than its own times.
  const run = runOf(job);
  const isRerun = run > 0;
  const time = requestedAt == null || isRerun ? null : await checkTime(deps, requestedAt, job.timestamp);
  if (time !== null && typeof time === 'object') return time;
  const request: OneOff = {
    kind: 'request',
    identity: identityOfJob(job),
    requestedAt: time,
    attemptsSeen: null,
    position: isRerun ? null : await positionOf(deps, queue, job),
    request: { requestId: requestId ?? null, requestedBy: requestedBy ?? null, reason: reason ?? null },
    link: null,
  };
  const owner = deps.instanceOwner(instance);
  const mayBeKnown = async () => owner === 'other' || (await deps.hasPendingEdit());
  let found = await findGroup(deps.store, name);
  if (found === null) {
    if (await mayBeKnown()) return notNow;
    // A Redis that was just emptied may not have a group yet that the file has.
    if (await deps.onUnknown(name)) found = await findGroup(deps.store, name);
    if (found === null)
      return await readUnknown(deps, { instance, past, anyInstance: anyInstance === true }, name, request);
  }
  if (!found.registered && (await mayBeKnown())) return notNow;
  // Others may have taken this worker for dead, and have removed a group that only its file has.
  if (!found.registered && (await deps.onUnknown(name))) found = (await findGroup(deps.store, name)) ?? found;
  const { recordId, entry, registered } = found;
  const attemptsSeen = !isRerun && seen?.record === recordId ? seen.attempts : null;
  const isReplaced = found.code !== null && (await findLink(deps, found.code))?.replaced != null;
  const link = found.code === null ? null : { code: found.code, isReplaced };
  const work = { ...request, attemptsSeen, link };
  const task = { recordId, work, name: entry.group, servedBy: entry.instance, registered };
  if (owner !== 'self' || isServedHere(found, instance, job)) return task;
  if (await wasServedHere(deps, recordId, pushedAt)) return task;
  // The instance that has the group is not in this file, which is older: the worker with the newer one decides.
  if (deps.instanceOwner(entry.instance) !== 'self' || (await deps.hasPendingEdit())) return notNow;
  const message = `group ${quote(link === null ? name : entry.group)} belongs to instance "${entry.instance}": push it to the queue "${rotationsQueue(entry.instance)}"`;
  return { status: 'refused', message, oneOff: { name, work, recordId } };
}

/** A one-off for a group that no worker has registered under this name. */
async function readUnknown(
  deps: JobDependencies,
  where: Pick<LinkJob, 'instance' | 'past' | 'anyInstance'>,
  name: string,
  work: OneOff,
): Promise<Task | JobResult> {
  const code = codeIn(name);
  if (code === null) return refuseUnknown(name, work);
  const found = await findByLink(deps, { ...where, code, work });
  if ('status' in found) return found;
  // Served wherever the job is: its producer could not know whose queue is the right one.
  const { recordId, entry, registered } = found;
  const link = { code, isReplaced: false };
  return { recordId, work: { ...work, link }, name: entry.group, servedBy: entry.instance, registered };
}

function refuseUnknown(name: string, work: OneOff): JobResult {
  const identifier = readIdentifier(name);
  // An id has none of these characters, so it is a link or a JID that was not read.
  const problem = /[./@\s]/.test(name) && 'problem' in identifier ? identifier.problem : null;
  const message = problem === null ? unknownGroup(name) : `bad request (group: ${problem})`;
  return { status: 'refused', message, oneOff: { name: problem === null ? name : 'unknown', work, recordId: null } };
}

/**
 * A job that its worker has taken before stays valid wherever its group has moved since: it was accepted, and its reset
 * may be in flight.
 */
function isServedHere({ entry, registered }: FoundGroup, instance: string, job: Job): boolean {
  return entry.instance === instance || !registered || job.attemptsStarted - job.attemptsMade > 1;
}

/** Producers read which instance has a group and push a moment later, by clocks that differ. */
const movedSkewMs = 10_000;

/** Whether it was pushed before its group moved to another instance. */
async function wasServedHere({ store }: JobDependencies, recordId: string, pushedAt: number): Promise<boolean> {
  const { movedAt } = (await store.load(recordId)).record;
  return movedAt !== null && pushedAt <= movedAt + movedSkewMs;
}

/** Times by Redis's clock and by the producer's may differ by this much; others are ignored. */
const timeSkewMs = 10 * 60_000;
/** A time that is later than both clocks by more than this is wrong. */
const maxFutureMs = 30_000;

/**
 * The time of a request, if it is reliable. Null if it is so far from the time of the push that it comes from another
 * clock, or if it is near a setback of Redis's clock, so that the request may be older or newer than it looks.
 */
async function checkTime(
  deps: JobDependencies,
  requestedAt: number,
  pushedAt: number,
): Promise<number | null | JobResult> {
  const doubtedUntil = Number((await deps.redis.get(deps.keys.clockDoubt)) ?? 0);
  if (requestedAt <= doubtedUntil) return null;
  const aheadMs = requestedAt - Math.max(await redisTime(deps), pushedAt);
  if (aheadMs > maxFutureMs) {
    const ahead = `${Math.round(aheadMs / 1000)} s`;
    const message = `bad request (requestedAt: is ${ahead} in the future): leave it out, or take it from Redis's TIME`;
    return { status: 'refused', message };
  }
  return Math.abs(requestedAt - pushedAt) > timeSkewMs ? null : requestedAt;
}

/** null: the producer chose the id, so it says nothing about when the job was pushed. */
async function positionOf(deps: JobDependencies, queue: string, job: Job): Promise<OneOff['position']> {
  const number = numberOf(job);
  if (number === null) return null;
  const { lastJob, count } = await deps.lastJobOn(queue);
  return { queue, number, newest: lastJob, count, pushedAt: job.timestamp };
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
