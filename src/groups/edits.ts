/**
 * What saving a file would do to the groups that are registered in Redis, once every worker has the file. Nothing is
 * written to Redis.
 */
import { isDeepStrictEqual } from 'node:util';
import { scheduleText } from '../config/scheduleText.ts';
import type { Database } from '../redis/database.ts';
import { type DryRun, dryRun } from './dryRun.ts';
import type { FileRank, GroupsFile } from './files.ts';
import { type GroupRecord, isScheduled, type Registration } from './record.ts';
import { syncRegistry } from './registry.ts';
import { createGroupStore } from './store.ts';

/** What happens to a group, worst first. */
const editActions = [
  'unreadable',
  'duplicate',
  'rotated',
  'removed',
  'repointed',
  'moved',
  'disabled',
  'rescheduled',
  'renamed',
  'adopted',
  'returned',
  'enabled',
  'updated',
] as const;
export type EditAction = (typeof editActions)[number];

export interface GroupEdit {
  readonly group: string;
  /** At least one. */
  readonly actions: readonly EditAction[];
  /** For people: what happens, in the order of `actions`. */
  readonly text: string;
  /** The next scheduled rotation. Null: none. */
  readonly nextRotationAt: string | null;
}

export interface FileEdits {
  /** Groups that are registered now. */
  readonly registered: number;
  /** Worst first. */
  readonly changes: readonly GroupEdit[];
}

type Registrations = ReadonlyMap<string, Registration | null>;

export async function editsOf(db: Database, { groups, digest }: GroupsFile): Promise<FileEdits> {
  const store = createGroupStore(db);
  const before = await store.registrations();
  const registered = [...before.values()].filter((known) => known?.removedAt === null).length;
  const dry = dryRun(store, before);
  // The newest file, which all workers have.
  const newest = Number.MAX_SAFE_INTEGER;
  const rank: FileRank = { digest, generation: newest, overridesUpTo: newest, isNew: true, others: [] };
  const files = { idsIn: () => Promise.resolve(new Set<string>()) };
  const changes = await syncRegistry({ ...db, store: dry.store, files }, groups, rank);

  const newIds = new Map([...changes.added, ...changes.changed].map((id) => [dry.registrationAfter(id)?.recordId, id]));
  const isRenamed = (id: string) => newIds.has(before.get(id)?.recordId);
  const owners = new Map(changes.duplicates.map(({ group, owner }) => [group, owner]));
  const unreadable = new Set(changes.unreadable.map(({ group }) => group));
  const freed = [...before].flatMap(([id, known]) =>
    known?.removedAt === null && known.duplicateOf !== null && dry.registrationAfter(id)?.duplicateOf === null
      ? [id]
      : [],
  );
  const written = [...new Set([...changes.added, ...changes.changed, ...freed, ...owners.keys()])];
  const edits = [
    ...changes.unreadable.map(({ group, reason }) => edit(group, [['unreadable', reason]], null)),
    ...changes.removed.filter((id) => !isRenamed(id)).map((id) => edit(id, [removal], null)),
    ...written.filter((id) => !unreadable.has(id)).map((id) => editOf(id, before, dry, owners.get(id) ?? null)),
  ].filter((one) => one.actions.length > 0);
  return { registered, changes: edits.sort((a, b) => rankOf(a) - rankOf(b) || (a.group < b.group ? -1 : 1)) };
}

type Step = readonly [EditAction, string];

const removal: Step = ['removed', 'removed: no more rotations; its history is kept for 30 days'];

function edit(group: string, steps: readonly Step[], nextMs: number | null): GroupEdit {
  const sorted = [...steps].sort(([a], [b]) => editActions.indexOf(a) - editActions.indexOf(b));
  return {
    group,
    actions: [...new Set(sorted.map(([action]) => action))],
    text: sorted.map(([, text]) => text).join('; '),
    nextRotationAt: nextMs === null ? null : new Date(nextMs).toISOString(),
  };
}

function rankOf({ actions: [worst = 'updated'] }: GroupEdit): number {
  return editActions.indexOf(worst);
}

function editOf(group: string, before: Registrations, dry: DryRun, owner: string | null): GroupEdit {
  const was = before.get(group) ?? null;
  const now = dry.registrationAfter(group);
  const after = now && dry.recordAfter(now.recordId);
  if (now === null || after === null) return edit(group, [], null);
  if (owner !== null)
    return edit(group, [['duplicate', `the same WhatsApp group as ${owner}: it would be paused`]], null);
  const target = dry.recordBefore(now.recordId);
  const isNew = was === null || was.removedAt !== null;
  const steps = isNew ? [originOf(now, target)] : changesOf(was, now);
  const dueAt = isScheduled(after) ? after.dueAt : null;
  const wasDue = target !== null && isScheduled(target) && target.dueAt !== null && target.dueAt <= dry.nowMs();
  const isAtOnce = dueAt !== null && dueAt <= dry.nowMs() && !wasDue;
  const next = isAtOnce ? [rotatedAtOnce] : nextSteps(steps, after, dry.nowMs());
  return edit(group, [...steps, ...next], dueAt);
}

const rotatedAtOnce: Step = ['rotated', 'rotated at once'];

/** When the next rotation is due, for an edit that decides it. It belongs to the last step. */
function nextSteps(steps: readonly Step[], after: GroupRecord, nowMs: number): Step[] {
  const last = steps.at(-1);
  const dueAt = isScheduled(after) ? after.dueAt : null;
  if (last === undefined || dueAt === null || last[0] === 'updated') return [];
  const when = dueAt <= nowMs ? 'due already' : `${new Date(dueAt).toISOString().slice(0, 16)}Z`;
  return [[last[0], `next rotation ${when}`]];
}

/** `target`: the record that a new id gets, as it is in Redis. */
function originOf({ entry: { group, identifier }, recordId }: Registration, target: GroupRecord | null): Step {
  const old = target?.entry ?? null;
  const owner = old?.group;
  const isOther = recordId === group && old?.identifier !== identifier;
  if (owner === undefined || isOther) return ['adopted', 'adopted: its live link is read and published'];
  if (owner !== group) return ['renamed', `renamed from ${owner}: its link is read and published under the new id`];
  return ['returned', 'back in the file: it continues where it was, and its link is read'];
}

function changesOf(was: Registration, now: Registration): Step[] {
  const [old, entry] = [was.entry, now.entry];
  const steps: Step[] = [];
  if (old.identifier !== entry.identifier && was.recordId !== now.recordId) {
    steps.push(['repointed', 'names another WhatsApp group: its live link is read and published']);
  }
  if (old.instance !== entry.instance) steps.push(['moved', `moved from ${old.instance} to ${entry.instance}`]);
  if (old.enabled && !entry.enabled) steps.push(['disabled', 'disabled: no scheduled rotations']);
  if (!old.enabled && entry.enabled) steps.push(['enabled', 'enabled']);
  if (entry.enabled && !isDeepStrictEqual(old.schedule, entry.schedule)) {
    steps.push(['rescheduled', `${scheduleText(old.schedule)} becomes ${scheduleText(entry.schedule)}`]);
  }
  if (was.evicted) steps.push(['adopted', 'registered again: its live link is read and published']);
  if (steps.length > 0) return steps;
  if (!isDeepStrictEqual(old.queues, entry.queues)) return [['updated', 'its events go to other queues']];
  if (old.verifyEveryMs !== entry.verifyEveryMs) return [['updated', 'its link is read back at other times']];
  if (was.duplicateOf !== null) return [['enabled', `no longer a duplicate of ${was.duplicateOf}`]];
  return [['updated', 'its entry changes']];
}
