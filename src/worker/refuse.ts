/** The failure event of a one-off that names a group and is not served: every accepted one-off gets an event. */

import type { Job } from 'bullmq';
import { groupId, type RotationFailedEvent } from '../contract/event.ts';
import { parseNamed, requestJob } from '../contract/request.ts';
import { findGroup } from '../groups/jids.ts';
import { RecordError, readable } from '../groups/store.ts';
import { appendFailure } from '../outbox/outbox.ts';
import { transition } from '../rotation/transition.ts';
import type { JobResult } from '../rotation/types.ts';
import { isJid } from '../ryze/identifier.ts';
import type { Failure } from '../ryze/outcome.ts';
import { identityOfJob } from './complete.ts';
import type { JobDependencies } from './readJob.ts';

type Refused = JobResult & { readonly status: 'refused' };

/** Publishes nothing for a job that is no one-off, or that names no group. */
export async function publishRefusal(
  deps: JobDependencies,
  instance: string,
  job: Job,
  { message, failure, ...refused }: Refused,
): Promise<void> {
  if (job.name !== requestJob) return;
  const oneOff = refused.oneOff ?? (await namedBy(deps, job));
  if (oneOff === null) return;
  const reported = failure ?? { code: 'invalid_request', message, httpStatus: null };
  await publish(deps, instance, { ...oneOff, reason: message, failure: reported });
}

/** `reason`: the job's. `failure`: the event's. */
type Refusal = NonNullable<Refused['oneOff']> & { readonly reason: string; readonly failure: Failure };

/** Of a one-off that was refused before its group was looked for. */
async function namedBy({ store }: JobDependencies, job: Job): Promise<NonNullable<Refused['oneOff']> | null> {
  const named = parseNamed(job.data);
  if (named === null) return null;
  const { group: name, request } = named;
  const found = await readable(findGroup(store, name));
  const recordId = found === null || found instanceof RecordError ? null : found.recordId;
  const none = { requestedAt: null, attemptsSeen: null, position: null, link: null };
  return { name, work: { ...none, kind: 'request', identity: identityOfJob(job), request }, recordId };
}

async function publish(deps: JobDependencies, instance: string, refusal: Refusal): Promise<void> {
  const { work, recordId, reason, failure } = refusal;
  if (recordId === null) return await publishUnknown(deps, instance, refusal);
  const updated = deps.store.update<readonly string[] | null>(recordId, (stored, nowMs) => {
    if (stored.entry === null) return { record: null, result: null };
    const { record, events } = transition(stored, { kind: 'refused', work, failure, reason }, nowMs, deps.settleTimeMs);
    return { record, events, result: stored.entry.queues };
  });
  const queues = await readable(updated);
  if (queues === null || queues instanceof RecordError) return await publishUnknown(deps, instance, refusal);
  deps.onCommitted(queues);
}

/** Unknown groups have no record to number their failures. */
async function publishUnknown(
  { redis, keys, resultsQueues, onCommitted }: JobDependencies,
  instance: string,
  { name, work, reason, failure: { code, message, httpStatus } }: Refusal,
): Promise<void> {
  const number = await redis.incr(keys.unknownFailures);
  const group = groupId.test(name) ? name : 'unknown';
  const event: RotationFailedEvent = {
    version: 1,
    id: `${group}.unknown.failed.${number}`,
    type: 'rotation.failed',
    group,
    jid: isJid(name) ? name : null,
    instance,
    inviteCode: null,
    inviteLink: null,
    previousInviteCode: null,
    revision: null,
    previousRevision: null,
    reason: 'request',
    request: work.request,
    rotatedAt: null,
    nextRotationAt: null,
    error: { code, message, httpStatus },
    nextAttemptAt: null,
    linkUncertain: false,
  };
  const queues = resultsQueues();
  await appendFailure({ redis, keys }, queues, { event, identity: work.identity, reason });
  onCommitted(queues);
}
