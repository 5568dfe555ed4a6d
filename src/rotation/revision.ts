/** Revisions of a group's link, and the events that tell of them and of rotations that failed. Pure. */
import type { Attempt, GroupRecord, LinkReason, RequestInfo } from '../groups/record.ts';
import type { LinkEvent } from '../results/event.ts';
import type { Failure, GroupRules, Outcome, Work } from './attempt.ts';

export interface NewLink {
  readonly jid: string;
  readonly code: string;
  readonly url: string;
}

/** Jobs whose answers are remembered, for those that run again after a crash. */
const keptAnswers = 16;

export interface Found {
  readonly type: 'link.rotated' | 'link.changed';
  readonly reason: LinkReason;
  /** The reset that made the link; null: it was not ours. */
  readonly from: { readonly begunAt: number; readonly request: Attempt['request'] } | null;
}

/** A new revision of the link and the event that tells of it: the one place where revisions are made. */
export function newRevision(
  record: GroupRecord,
  link: NewLink,
  found: Found,
  nowMs: number,
  rules: GroupRules,
): Outcome {
  const revision = Math.max(nowMs, (record.revision ?? 0) + 1);
  const previous = { code: record.link?.code ?? null, revision: record.revision };
  const request = found.from?.request ?? null;
  const published: GroupRecord = {
    ...record,
    jid: link.jid,
    link: { code: link.code, url: link.url },
    revision,
    previous,
    reason: found.reason,
    rotatedAt: nowMs,
    resetBegunAt: found.from?.begunAt ?? null,
    verifiedAt: nowMs,
    unreadable: 0,
    failure: null,
    answered: request === null ? record.answered : [request.jobId, ...record.answered].slice(0, keptAnswers),
  };
  const event = {
    version: 1,
    id: `${rules.group}.${revision}`,
    type: found.type,
    group: rules.group,
    jid: link.jid,
    instance: rules.instance,
    inviteCode: link.code,
    inviteLink: link.url,
    previousInviteCode: previous.code,
    revision,
    previousRevision: previous.revision,
    reason: found.reason,
    request: request === null ? null : infoOf(request),
    rotatedAt: new Date(nowMs).toISOString(),
    nextRotationAt: isoOrNull(published.dueAt),
  } as LinkEvent;
  return { record: published, events: [event], fenced: false };
}

/** The event that tells of a rotation that was given up, of the record as that left it. */
export function failureEvent(record: GroupRecord, work: Work, error: Failure, rules: GroupRules): LinkEvent {
  const { code, message, httpStatus } = error;
  const nextAt = isoOrNull(record.dueAt);
  return {
    version: 1,
    id: `${rules.group}.${record.revision ?? 0}.failed.${record.attempts}`,
    type: 'rotation.failed',
    group: rules.group,
    jid: record.jid,
    instance: rules.instance,
    inviteCode: record.link?.code ?? null,
    inviteLink: record.link?.url ?? null,
    previousInviteCode: record.previous.code,
    revision: record.revision,
    previousRevision: record.previous.revision,
    reason: work.kind === 'request' ? 'request' : work.kind === 'scheduled' ? 'schedule' : 'drift',
    request: work.kind === 'request' ? work.request : null,
    rotatedAt: isoOrNull(record.rotatedAt),
    nextRotationAt: nextAt,
    error: { code, message, httpStatus },
    nextAttemptAt: nextAt,
    linkUncertain: record.uncertain !== null,
  };
}

function infoOf({ requestId, requestedBy, reason }: RequestInfo): RequestInfo {
  return { requestId, requestedBy, reason };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
