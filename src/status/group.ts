/** Everything about one group, for people. Contains no link, code or token: texts of producers are redacted. */
import type { Config } from '../config/config.ts';
import { scheduleText } from '../config/scheduleText.ts';
import type { LinkReason } from '../contract/event.ts';
import { type Revision, readHistory } from '../groups/history.ts';
import { type GroupRecord, newRecord } from '../groups/record.ts';
import type { GroupState } from '../groups/states.ts';
import { createGroupStore, RecordError, readable } from '../groups/store.ts';
import { redactCodes } from '../log.ts';
import type { Database } from '../redis/database.ts';
import { type GroupStatus, groupStatus, unreadableStatus } from './groupStatus.ts';

/** One revision of the link. */
export interface HistoryEntry {
  readonly revision: number;
  readonly from: string;
  /** Null: it is the current one. */
  readonly until: string | null;
  /** Null if an older version made it. */
  readonly reason: LinkReason | null;
  /** Who asked for it and why. Null if nobody did, or if they did not say. */
  readonly requestedBy: string | null;
  readonly requestReason: string | null;
}

export interface GroupDetail extends GroupStatus {
  readonly at: string;
  /** Since when it has been in its state. Null if that is unknown. */
  readonly stateSince: string | null;
  readonly enabled: boolean;
  /** As text. */
  readonly schedule: string;
  /** Null: the link is not verified periodically. */
  readonly verifyEveryMs: number | null;
  /** The results queues that get its events. */
  readonly queues: readonly string[];
  readonly lastResetAt: string | null;
  /** When the link was last read, or a read was last tried. */
  readonly verifiedAt: string | null;
  /** When it is tried again after a failure. */
  readonly nextAttemptAt: string | null;
  /** Newest first. */
  readonly history: readonly HistoryEntry[];
}

/** Null if the file has no group of this id. */
export async function readGroup(db: Database, config: Config, id: string): Promise<GroupDetail | null> {
  const group = config.groupsById.get(id);
  if (group === undefined) return null;
  const store = createGroupStore(db);
  const recordId = (await store.registration(id))?.recordId ?? id;
  const [loaded, history] = await Promise.all([readable(store.load(recordId)), readable(readHistory(db, recordId))]);
  const isReadable = !(loaded instanceof RecordError || history instanceof RecordError);
  const record: GroupRecord = isReadable ? loaded.record : newRecord;
  const nowMs = loaded instanceof RecordError ? Date.now() : loaded.nowMs;
  const status =
    loaded instanceof RecordError ? unreadableStatus(group, loaded, nowMs) : groupStatus(group, record, nowMs);
  return {
    ...status,
    at: new Date(nowMs).toISOString(),
    stateSince: isoOrNull(stateSince(status.state, record)),
    enabled: group.enabled,
    schedule: scheduleText(group.schedule),
    verifyEveryMs: config.verify?.everyMs ?? null,
    queues: config.results.queues,
    lastResetAt: isoOrNull(record.lastResetAt),
    verifiedAt: isoOrNull(record.verifiedAt),
    nextAttemptAt: isoOrNull(record.failure?.nextAttemptAt ?? null),
    history: isReadable ? history.map((revision) => historyEntry(revision, codesOf(record, history))) : [],
  };
}

function stateSince(state: GroupState, record: GroupRecord): number | null {
  const { attempt, uncertain, failure, dueAt, rotatedAt } = record;
  if (state === 'uncertain') return uncertain?.begunAt ?? attempt?.begunAt ?? null;
  if (state === 'rotating') return attempt?.begunAt ?? null;
  if (state === 'failing') return failure?.since ?? failure?.at ?? null;
  if (state === 'overdue') return dueAt;
  return state === 'fresh' ? rotatedAt : null;
}

function historyEntry({ revision, from, until, reason, request }: Revision, codes: readonly string[]): HistoryEntry {
  return {
    revision,
    from: new Date(from).toISOString(),
    until: isoOrNull(until),
    reason,
    requestedBy: withoutLinks(request?.requestedBy ?? null, codes),
    requestReason: withoutLinks(request?.reason ?? null, codes),
  };
}

/** The codes that the group has or had. */
function codesOf(record: GroupRecord, history: readonly Revision[]): string[] {
  return [...new Set([...history.map(({ code }) => code), ...record.replacedCodes, record.link?.code ?? ''])].filter(
    (code) => code !== '',
  );
}

/** Null if a producer wrote nothing. */
export function withoutLinks(text: string | null, codes: readonly string[]): string | null {
  return text === null || text === '' ? null : redactCodes(text, codes);
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
