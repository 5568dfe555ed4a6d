/**
 * The revisions of a group's link that are remembered: one for each link that was published, and who asked for it. They
 * are stored in the record's hash, in the same step as the commit. Pure. Times are milliseconds since 1970 by Redis's
 * clock.
 */
import { z } from 'zod';
import { type LinkEvent, type LinkReason, linkReasons, type RequestInfo, requestInfo } from '../contract/event.ts';
import type { RotationResult } from '../contract/request.ts';
import { inviteLinkOf } from '../ryze/identifier.ts';
import type { GroupRecord } from './record.ts';

/** Remembered of one group. */
export const maxRevisions = 100;
/** A revision is remembered for this long after it was replaced, ms. */
export const rememberedMs = 90 * 24 * 3_600_000;

const time = z.int().nonnegative();

/** A revision as it is stored. */
const remembered = z.looseObject({
  revision: time,
  code: z.string(),
  from: time,
  reason: z.enum(linkReasons).nullable(),
  request: requestInfo.nullable(),
  group: z.string(),
});
type Remembered = z.infer<typeof remembered>;

/** One revision of a group's link. */
export interface Revision {
  readonly revision: number;
  readonly code: string;
  readonly link: string;
  /** When the link became live or was first seen. */
  readonly from: number;
  /** When the next revision replaced this one. Null: it is the current one. */
  readonly until: number | null;
  /** Null if an older version made this revision. */
  readonly reason: LinkReason | null;
  /** The one-off that this revision answered. */
  readonly request: RequestInfo | null;
  /** The id that the group had then. */
  readonly group: string;
}

/** How a link was replaced. Null fields are not known. */
export interface Replacement {
  readonly at: number | null;
  readonly reason: LinkReason | null;
  readonly request: RequestInfo | null;
}

/** What the record's hash holds. A history that this version cannot read counts as none: it never blocks a rotation. */
export function parseHistory(json: string | null | undefined): readonly Remembered[] {
  if (!json) return [];
  try {
    return z.array(remembered).parse(JSON.parse(json));
  } catch {
    return [];
  }
}

/**
 * The history after these events of a commit. `before`: the record before it, whose link is added if an older version
 * stored it. `forgotten`: codes that are no longer in the history.
 */
export function withRevisions(
  history: readonly Remembered[],
  before: GroupRecord,
  events: readonly LinkEvent[],
  nowMs: number,
): { readonly history: readonly Remembered[]; readonly forgotten: readonly string[] } {
  const all = [...events.flatMap(revisionOf).reverse(), ...completed(history, before)];
  const kept = all.filter((_, i) => isRemembered(all, i, nowMs)).slice(0, maxRevisions);
  const codes = new Set(kept.map(({ code }) => code));
  return { history: kept, forgotten: all.map(({ code }) => code).filter((code) => !codes.has(code)) };
}

/** The revisions of a group, newest first. */
export function revisionsOf(history: readonly Remembered[], record: GroupRecord, nowMs: number): readonly Revision[] {
  const all = completed(history, record);
  return all
    .map(({ revision, code, from, reason, request, group }, i) => {
      const until = all[i - 1]?.from ?? null;
      return { revision, code, link: inviteLinkOf(code), from, until, reason, request, group };
    })
    .filter((_, i) => isRemembered(all, i, nowMs));
}

/** How a link was replaced that the group has or had. Null: it is not known to have been replaced. */
export function replacementOf(record: GroupRecord, revisions: readonly Revision[], code: string): Replacement | null {
  if (record.link?.code === code) return null;
  const at = revisions.findIndex((one) => one.code === code);
  const next = revisions[at - 1];
  if (next !== undefined) return { at: next.from, reason: next.reason, request: next.request };
  // The index of links has others too, such as one that a look-up found while a reset was in flight.
  const isReplaced = record.replacedCodes.includes(code) || record.previous.code === code;
  return record.link !== null && isReplaced ? { at: null, reason: null, request: null } : null;
}

/** The fields of a result that say why no reset was made for the link that a one-off names. */
export function replacedFields(replaced: Replacement | null): Partial<RotationResult> {
  if (replaced === null) return {};
  const { at, reason, request } = replaced;
  return {
    replacedAt: at === null ? null : new Date(at).toISOString(),
    replacedReason: reason,
    replacedRequest: request,
  };
}

function isRemembered(all: readonly Remembered[], i: number, nowMs: number): boolean {
  const replacedAt = all[i - 1]?.from ?? null;
  return replacedAt === null || replacedAt >= nowMs - rememberedMs;
}

function revisionOf(event: LinkEvent): Remembered[] {
  if (event.type !== 'link.rotated' && event.type !== 'link.changed') return [];
  const { revision, inviteCode: code, rotatedAt, reason, request, group } = event;
  return [{ revision, code, from: Date.parse(rotatedAt), reason, request, group }];
}

/** With the link of the record, and the one before it, if a version that keeps no history has stored them. */
function completed(history: readonly Remembered[], record: GroupRecord): readonly Remembered[] {
  const { revision, link, rotatedAt, reason, previous, entry } = record;
  const newest = history[0]?.revision ?? -1;
  if (revision === null || link === null || revision <= newest) return history;
  const group = entry?.group ?? '';
  const current = { revision, code: link.code, from: rotatedAt ?? revision, reason, request: null, group };
  if (previous.code === null || previous.revision === null || previous.revision <= newest) return [current, ...history];
  // A revision is the time of its commit.
  const last = { revision: previous.revision, code: previous.code, from: previous.revision };
  return [current, { ...last, reason: null, request: null, group }, ...history];
}
