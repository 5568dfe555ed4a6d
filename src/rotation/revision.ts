/** Revisions of a group's link, and the events that tell of them and of rotations that failed. Pure. */

import type { LinkEvent, LinkReason, RequestInfo } from '../contract/event.ts';
import { type Attempt, type GroupRecord, isScheduled } from '../groups/record.ts';
import type { Failure, Outcome, Work } from './types.ts';

export interface NewLink {
  readonly jid: string;
  readonly code: string;
  readonly url: string;
}

/** Jobs whose answers are remembered, for those that run again after a crash. */
const keptAnswers = 16;

/** Replaced codes that are remembered: a cache, or a confused server, may still show them. */
const keptCodes = 50;

export interface Found {
  readonly type: 'link.rotated' | 'link.changed';
  readonly reason: LinkReason;
  /** The reset that made the link; null: it was not ours. */
  readonly from: Pick<Attempt, 'begunAt' | 'request' | 'covers'> | null;
}

/** Whether the group had this code before the one that it has now. */
export function isReplaced({ replacedCodes, previous, link }: GroupRecord, code: string): boolean {
  return code !== link?.code && (replacedCodes.includes(code) || code === previous.code);
}

/** A new revision of the link and the event that tells of it: the one place where revisions are made. */
export function newRevision(record: GroupRecord, link: NewLink, found: Found, nowMs: number): Outcome {
  const { predecessor } = record;
  const last = predecessor ?? lastPublished(record);
  const revision = Math.max(nowMs, (record.revision ?? 0) + 1, (last.revision ?? 0) + 1);
  // A link that is published under another id has replaced what it replaced before.
  const previous = last.code === link.code && !isUnpublished(record) ? { ...last, code: record.previous.code } : last;
  const request = found.from?.request ?? null;
  const published: GroupRecord = {
    ...record,
    jid: link.jid,
    link: { code: link.code, url: link.url },
    revision,
    previous,
    predecessor: null,
    reason: found.reason,
    rotatedAt: nowMs,
    lastResetAt: found.from === null ? record.lastResetAt : nowMs,
    resetBegunAt: found.from?.begunAt ?? null,
    resetCovers: found.from?.covers ?? null,
    replacedCodes: replacedCodes(record, link.code),
    verifiedAt: nowMs,
    adopt: false,
    unverified: 0,
    failure: null,
    answered: request === null ? record.answered : [request.identity, ...record.answered].slice(0, keptAnswers),
  };
  if (record.entry === null || record.replaced) {
    // No event, so no revision: consumers would miss it. What they hold stays known, beside the link.
    const previous = record.revision === null ? record.previous : lastPublished(record);
    const unpublished = { revision: record.revision, previous, predecessor };
    return { record: { ...published, ...unpublished }, events: [], fenced: false };
  }
  const { group, instance } = record.entry;
  const event = {
    version: 1,
    id: `${group}.${revision}`,
    type: found.type,
    group,
    jid: link.jid,
    instance,
    inviteCode: link.code,
    inviteLink: link.url,
    previousInviteCode: previous.code,
    revision,
    previousRevision: previous.revision,
    reason: found.reason,
    request: request === null ? null : infoOf(request),
    rotatedAt: new Date(nowMs).toISOString(),
    nextRotationAt: nextRotationAt(published),
  } as LinkEvent;
  return { record: published, events: [event], fenced: false };
}

/** The link was made while no id was the group's: the last one that was published is the one before it. */
function isUnpublished({ revision, previous }: GroupRecord): boolean {
  return revision !== null && previous.revision === revision;
}

/** The newest link that was published. */
function lastPublished(record: GroupRecord): GroupRecord['previous'] {
  if (isUnpublished(record)) return record.previous;
  return { code: record.link?.code ?? null, revision: record.revision };
}

function replacedCodes({ link, replacedCodes: before }: GroupRecord, code: string): string[] {
  if (link === null || link.code === code) return before;
  return [link.code, ...before].slice(0, keptCodes);
}

/** The event of a rotation that was given up, of the record as that left it; null: there is no group to name. */
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
