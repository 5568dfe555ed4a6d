/** Revisions of a group's link, and the events that report them and the rotations that failed. Pure. */

import type { LinkEvent, LinkReason, RequestInfo } from '../contract/event.ts';
import { type Attempt, type GroupRecord, isScheduled } from '../groups/record.ts';
import { inviteLinkOf } from '../ryze/identifier.ts';
import type { Failure } from '../ryze/outcome.ts';
import type { Transition, Work } from './types.ts';

/** How many answered jobs are remembered, for jobs that run again after a crash. */
const maxAnswered = 16;

/** How many replaced codes are remembered: a cache or a confused server may still show them. */
const maxCodes = 50;

/** Whether the group had this code before the one that it has now. */
export function isReplaced({ replacedCodes, previous, link }: GroupRecord, code: string): boolean {
  return code !== link?.code && (replacedCodes.includes(code) || code === previous.code);
}

/**
 * A new revision of the link, and the event that reports it: the one place where revisions are made. `reset`: the one
 * that made the link; null if it was not ours.
 */
export function newRevision(
  record: GroupRecord,
  { jid, inviteCode }: { readonly jid: string; readonly inviteCode: string },
  reason: LinkReason,
  reset: Pick<Attempt, 'begunAt' | 'request' | 'covers'> | null,
  nowMs: number,
): Transition {
  const { predecessor } = record;
  const last = predecessor ?? lastPublished(record);
  const revision = Math.max(nowMs, (record.revision ?? 0) + 1, (last.revision ?? 0) + 1);
  // A link that is published under another id replaced the same link as before.
  const previous = last.code === inviteCode && !isUnpublished(record) ? { ...last, code: record.previous.code } : last;
  const request = reset?.request ?? null;
  const inviteLink = inviteLinkOf(inviteCode);
  const published: GroupRecord = {
    ...record,
    jid,
    link: { code: inviteCode, url: inviteLink },
    revision,
    previous,
    predecessor: null,
    reason,
    rotatedAt: nowMs,
    lastResetAt: reset === null ? record.lastResetAt : nowMs,
    resetBegunAt: reset?.begunAt ?? null,
    resetCovers: reset?.covers ?? null,
    unseenResetAt: null,
    replacedCodes: replacedCodes(record, inviteCode, request?.link),
    verifiedAt: nowMs,
    adopt: false,
    unverified: 0,
    failure: null,
    answered: request === null ? record.answered : [request.identity, ...record.answered].slice(0, maxAnswered),
  };
  if (record.entry === null || record.replaced) {
    // No event, so no revision: consumers would miss it. The revision that they hold stays in the record.
    const previous = record.revision === null ? record.previous : lastPublished(record);
    const unpublished = { revision: record.revision, previous, predecessor };
    return { record: { ...published, ...unpublished }, events: [], fenced: false };
  }
  const { group, instance } = record.entry;
  const event = {
    version: 1,
    id: `${group}.${revision}`,
    type: reset === null ? 'link.changed' : 'link.rotated',
    group,
    jid,
    instance,
    inviteCode,
    inviteLink,
    previousInviteCode: previous.code,
    revision,
    previousRevision: previous.revision,
    reason,
    request: request === null ? null : infoOf(request),
    rotatedAt: new Date(nowMs).toISOString(),
    nextRotationAt: nextRotationAt(published),
  } as LinkEvent;
  return { record: published, events: [event], fenced: false };
}

/** The link was made while no id named the group, so the last published link is the one before it. */
function isUnpublished({ revision, previous }: GroupRecord): boolean {
  return revision !== null && previous.revision === revision;
}

/** The newest link that was published. */
function lastPublished(record: GroupRecord): GroupRecord['previous'] {
  if (isUnpublished(record)) return record.previous;
  return { code: record.link?.code ?? null, revision: record.revision };
}

/** `named`: the link for which it was reset. The record may never have had it, if a person made it. */
function replacedCodes({ link, replacedCodes: before }: GroupRecord, code: string, named?: string): string[] {
  const replaced = [link?.code ?? code, named ?? code].filter((one) => one !== code);
  return [...new Set([...replaced, ...before])].slice(0, maxCodes);
}

/** The event of a rotation that was given up, from the record after that. null: no id names the group. */
export function failureEvent(record: GroupRecord, work: Work, error: Failure): LinkEvent | null {
  if (record.entry === null || record.replaced) return null;
  const { code, message, httpStatus } = error;
  const { group, instance } = record.entry;
  return {
    version: 1,
    id: `${group}.${record.revision ?? 0}.failed.${record.failures}`,
    type: 'rotation.failed',
    group,
    jid: record.jid,
    instance,
    inviteCode: record.link?.code ?? null,
    inviteLink: record.link?.url ?? null,
    previousInviteCode: record.previous.code,
    revision: record.revision,
    previousRevision: record.previous.revision,
    reason: failureReasons[work.kind],
    request: work.kind === 'request' ? work.request : null,
    rotatedAt: isoOrNull(record.rotatedAt),
    nextRotationAt: nextRotationAt(record),
    error: { code, message, httpStatus },
    nextAttemptAt: isoOrNull(record.failure?.nextAttemptAt ?? null),
    linkUncertain: record.uncertain !== null,
  };
}

const failureReasons = { request: 'request', scheduled: 'schedule', verification: 'adopted' } as const;

function nextRotationAt(record: GroupRecord): string | null {
  return isScheduled(record) ? isoOrNull(record.dueAt) : null;
}

function infoOf({ requestId, requestedBy, reason }: RequestInfo): RequestInfo {
  return { requestId, requestedBy, reason };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
