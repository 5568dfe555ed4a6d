/**
 * Registers a file's groups in Redis: which groups exist, which instance serves each, and when each is due. Workers act
 * on what is registered. Only differences are written, so a restart moves no schedule. A group that left the file keeps
 * its history for 30 days. If it returns by then, under any id, it continues where it was.
 *
 * Two entries may name one WhatsApp group (by a link and a JID, say). The first one that claims the JID owns it for as
 * long as it is registered; the other is a duplicate.
 */

import { isDeepStrictEqual } from 'node:util';
import { type Database, redisTime } from '../redis/database.ts';
import { isJid } from '../ryze/identifier.ts';
import { eachInSlices, filterInSlices, mapInSlices } from '../slices.ts';
import { asDuplicate, asReplaced, type DesiredGroup, startedOver, withEntry, withoutEntry } from './entries.ts';
import type { FileRank, WorkerFiles } from './files.ts';
import { ownerOf, resolveIdentifiers } from './jids.ts';
import { type Entry, type GroupRecord, hasEntry, historyMs, publishedOf, type Registration } from './record.ts';
import { type GroupStore, type Plan, type Reader, RecordError } from './store.ts';

export interface RegistryChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Groups whose WhatsApp group belongs to another one. */
  readonly duplicates: readonly { readonly group: string; readonly owner: string }[];
  /** Groups that were not registered because their records cannot be read. */
  readonly unreadable: readonly { readonly group: string; readonly reason: string }[];
  /** Groups that this file lacks, and that stay because another live worker's file has them. */
  readonly kept: readonly string[];
  /** Groups that a newer file in force has registered differently. */
  readonly outdated: readonly string[];
}

export interface RegistryDependencies extends Database {
  readonly store: GroupStore;
  readonly files: Pick<WorkerFiles, 'idsIn'>;
}

/** Registrations written at once. */
const atOnce = 500;

/** By group id. Null: not readable by this version. */
type Registrations = ReadonlyMap<string, Registration | null>;

/** Registers what differs. `rank`: the result of announcing the file. */
export async function syncRegistry(
  deps: RegistryDependencies,
  desired: readonly DesiredGroup[],
  rank: FileRank,
): Promise<RegistryChanges> {
  const { store } = deps;
  const before = await readRegistrations(deps);
  const different = await filterInSlices(desired, ({ entry }) => !isRegisteredAs(before.get(entry.group), entry));
  const isOutdated = ({ entry }: DesiredGroup) => {
    const known = before.get(entry.group);
    return isProtected(known, rank) && known?.duplicateOf === null;
  };
  const work = await filterInSlices(different, (group) => !isOutdated(group));
  const jids = await resolveIdentifiers(
    deps,
    work.map(({ entry }) => entry.identifier),
  );

  // Removal comes first, so that a renamed group can claim its WhatsApp group.
  const { removed, kept } = await splitMissing(deps, before, { desired, jids, rank });
  for (const failure of await store.editAll(removed.map((id) => removal(id, rank)))) {
    if (failure instanceof RecordError) throw failure;
  }

  const repointed = new Set(
    (await filterInSlices(work, (group) => isRepointed(group, before, jids))).map(({ entry }) => entry.group),
  );
  const duplicates: { group: string; owner: string }[] = [];
  const unreadable: { group: string; reason: string }[] = [];
  const plans = await mapInSlices(work, (one) =>
    registering(one, { jid: jids.get(one.entry.identifier) ?? null, repointed, rank }),
  );
  const owners = await store.editAll(plans);
  const added: string[] = [];
  const changed: string[] = [];
  await eachInSlices(work.entries(), ([i, { entry }]) => {
    const { group } = entry;
    const [owner, known] = [owners[i] ?? null, before.get(group)];
    if (owner instanceof RecordError) unreadable.push({ group, reason: owner.message });
    else if (owner !== null && known?.duplicateOf !== owner) duplicates.push({ group, owner });
    if (known?.removedAt !== null) added.push(group);
    else if (known.duplicateOf === null) changed.push(group);
  });
  const outdated = (await filterInSlices(different, isOutdated)).map(({ entry }) => entry.group);
  return { added, changed, removed, duplicates, unreadable, kept, outdated };
}

/** Marks the groups whose records are gone, so that `syncRegistry` registers them again. Returns their ids. */
export async function markLost(
  { redis, keys, store }: RegistryDependencies,
  recordIds: readonly string[],
): Promise<string[]> {
  const lost = new Set(recordIds);
  const marked: [id: string, registration: string][] = [];
  await eachInSlices(await store.registrations(), ([id, known]) => {
    if (known === null || known.removedAt !== null || !lost.has(known.recordId)) return;
    marked.push([id, JSON.stringify({ ...known, evicted: true })]);
  });
  for (let from = 0; from < marked.length; from += atOnce) {
    await redis.hset(keys.registered, ...marked.slice(from, from + atOnce).flat());
  }
  return marked.map(([id]) => id);
}

/** Forgets those that left the files long ago, and returns the others. */
async function readRegistrations(deps: RegistryDependencies): Promise<Registrations> {
  const { store } = deps;
  const oldestMs = (await redisTime(deps)) - historyMs;
  const all = await store.registrations();
  const forgotten: string[] = [];
  await eachInSlices(all, ([id, known]) => {
    if (known?.removedAt != null && known.removedAt < oldestMs) forgotten.push(id);
  });
  if (forgotten.length === 0) return all;
  await store.forget(forgotten);
  const old = new Set(forgotten);
  return new Map([...all].filter(([id]) => !old.has(id)));
}

/** Of the registered groups that this file lacks: those to remove, and those that another worker's file keeps. */
async function splitMissing(
  { files }: RegistryDependencies,
  before: Registrations,
  { desired, jids, rank }: { desired: readonly DesiredGroup[]; jids: ReadonlyMap<string, string>; rank: FileRank },
): Promise<{ removed: string[]; kept: string[] }> {
  const ids = new Set<string>();
  await eachInSlices(desired, ({ entry }) => ids.add(entry.group));
  const missing: string[] = [];
  await eachInSlices(before, ([id, known]) => {
    if (!ids.has(id) && known?.removedAt == null) missing.push(id);
  });
  const elsewhere = await files.idsIn(rank.others, missing);
  // The old id of a renamed group is removed at once, even if another worker's file has it: the WhatsApp group stays.
  const claimed = new Set(jids.values());
  const isKept = (id: string) => elsewhere.has(id) && !claimed.has(before.get(id)?.recordId ?? '');
  return { removed: missing.filter((id) => !isKept(id)).sort(), kept: missing.filter(isKept).sort() };
}

/** A duplicate always counts as different, because its owner may have left the file. */
function isRegisteredAs(known: Registration | null | undefined, entry: Entry): boolean {
  if (known == null || known.removedAt !== null || known.duplicateOf !== null || known.evicted) return false;
  return isDeepStrictEqual(known.entry, { ...known.entry, ...entry });
}

/** Whether a newer file of a live worker has registered this, so that an older one must not replace it. */
function isProtected(known: Registration | null | undefined, { overridesUpTo }: FileRank): boolean {
  return known != null && known.removedAt === null && !known.evicted && known.generation > overridesUpTo;
}

/** Whether the entry now names another WhatsApp group. */
function isRepointed({ entry }: DesiredGroup, before: Registrations, jids: ReadonlyMap<string, string>): boolean {
  const known = before.get(entry.group);
  if (known == null || known.entry.identifier === entry.identifier) return false;
  return known.recordId !== jids.get(entry.identifier);
}

interface Registering {
  /** Of the group, as far as its identifier shows it. */
  readonly jid: string | null;
  /** Groups that name another WhatsApp group in this file than they did before. */
  readonly repointed: ReadonlySet<string>;
  readonly rank: FileRank;
}

/** Results in the id of the group that owns the same WhatsApp group, or null if this one does. */
function registering(desired: DesiredGroup, { jid: knownJid, repointed, rank }: Registering): Plan<string | null> {
  const { entry } = desired;
  const id = entry.group;
  return async (reader) => {
    const known = await reader.registration(id);
    if (isProtected(known, rank)) return { result: null };
    const currentId = known?.recordId ?? id;
    const current = await reader.record(currentId);
    // Versions before 0.2 named a record by the group's id and stored no entry in it.
    const isOld = current.entry === null;
    const isUnchanged = known?.entry.identifier === entry.identifier && isJid(currentId);
    const jid = knownJid ?? (isUnchanged ? currentId : isOld ? current.jid : null);
    const other = jid === null ? null : await ownerOf(reader, jid, id);
    // Two entries may have swapped identifiers: an owner whose identifier changes in the same file gives up its claim.
    const givesWay = other !== null && repointed.has(other) && !isProtected(await reader.registration(other), rank);
    const owner = givesWay ? null : other;

    // The record that the entry gets: its JID's, or its id's while the JID is unknown or another group owns it.
    const targetId = jid === null || owner !== null ? id : jid;
    const target = await reader.record(targetId);
    const moves = targetId !== currentId;
    // Whether the entry loses the record that it has.
    const leaves = moves && (isOld ? currentId === id : hasEntry(current, id));
    const isMigrated = moves && isOld && current.jid === targetId;
    // Whether the record of the id is for another code than the entry's.
    const isOther = targetId === id && target.entry !== null && target.entry.identifier !== entry.identifier;
    const record = isMigrated ? current : isOther ? startedOver(target) : target;
    const isInherited = leaves && !isMigrated;
    const inherited = {
      published: (isInherited ? publishedOf(current) : null) ?? known?.published ?? null,
      failures: Math.max(isInherited ? current.failures : 0, known?.failures ?? 0),
    };
    const after =
      owner === null
        ? withEntry(record, desired, jid, inherited, reader.nowMs)
        : asDuplicate(record, desired, owner, inherited);
    const left = currentId === id ? null : asReplaced(current, reader.nowMs);
    return {
      records: { ...(leaves ? { [currentId]: left } : {}), [targetId]: after },
      registrations: {
        ...(await evictOwner(reader, record, id)),
        [id]: {
          ...known,
          entry: { ...known?.entry, ...entry },
          recordId: targetId,
          generation: rank.generation,
          duplicateOf: owner,
          published: null,
          failures: 0,
          evicted: false,
          removedAt: null,
        },
      },
      resolved: jid === null || isJid(entry.identifier) ? {} : { [entry.identifier]: jid },
      result: owner,
    };
  };
}

/** The record gets another id. What was published under its id so far is noted in that id's registration. */
async function evictOwner(reader: Reader, record: GroupRecord, id: string): Promise<Record<string, Registration>> {
  const owner = record.entry?.group;
  if (owner === undefined || owner === id || record.replaced) return {};
  const known = await reader.registration(owner);
  if (known === null) return {};
  const noted = { ...known, published: publishedOf(record), failures: record.failures };
  return { [owner]: known.removedAt !== null ? noted : { ...noted, recordId: owner, evicted: true } };
}

function removal(id: string, { overridesUpTo }: FileRank): Plan<void> {
  return async (reader) => {
    const known = await reader.registration(id);
    if (known === null) return { registrations: { [id]: null }, result: undefined };
    if (known.generation > overridesUpTo) return { result: undefined };
    const { recordId } = known;
    const record = await reader.record(recordId);
    const removed = { ...known, removedAt: reader.nowMs };
    if (!hasEntry(record, id)) return { registrations: { [id]: removed }, result: undefined };
    return {
      records: { [recordId]: withoutEntry(record, reader.nowMs) },
      registrations: { [id]: { ...removed, published: publishedOf(record) } },
      result: undefined,
    };
  };
}
