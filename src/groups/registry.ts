/**
 * Registers a file's groups in Redis: which groups there are, who serves them, and when they are due. Every worker goes
 * by what is registered. Only what changed is touched, so a restart moves no schedule. A group that left the file keeps
 * its history for 30 days; if it comes back by then, it goes on where it was, under whatever id.
 *
 * Two entries may turn out to be one WhatsApp group (a link and a JID, say): the first one that claims the JID keeps it,
 * for as long as it is registered.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { isJid } from '../ryze/identifier.ts';
import type { FileStanding, Files } from './files.ts';
import { ownerOf } from './owner.ts';
import { type GroupRecord, historyMs } from './record.ts';
import { asDuplicate, forgetting, publishedOf, replaced, type Wanted, withEntry, withoutEntry } from './register.ts';
import { parseRegistration, type Registration } from './registration.ts';
import { type Edit, type GroupStore, type Reader, RecordError, readable } from './store.ts';

export interface RegistryChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Groups whose WhatsApp group another one owns already. */
  readonly duplicates: readonly { readonly group: string; readonly owner: string }[];
  /** Groups that were left as they are, because their records cannot be read. */
  readonly unreadable: readonly { readonly group: string; readonly reason: string }[];
  /** Groups that this file lacks, and that stay because the file of another live worker has them. */
  readonly kept: readonly string[];
  /** Groups of which this file says something else than a newer one that is in force. */
  readonly outdated: readonly string[];
}

export interface RegistryDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly files: Files;
}

/** Groups written at the same time: enough to fill the pipe, not so many that others wait. */
const chunk = 250;

/** Registers what differs from what is registered. `standing`: what `files.announce` says of this file. */
export async function syncRegistry(
  deps: RegistryDependencies,
  wanted: readonly Wanted[],
  standing: FileStanding,
): Promise<RegistryChanges> {
  const { store, files } = deps;
  const before = await readRegistered(deps);
  const ids = new Set(wanted.map(({ entry }) => entry.group));
  const different = wanted.filter(({ entry }) => !isAsBefore(before.get(entry.group) ?? null, entry));
  const isOutdated = ({ entry }: Wanted) => isNewer(before.get(entry.group), standing);
  const work = different.filter((one) => !isOutdated(one));
  const resolved = await resolvedOf(deps, work);

  // First, so that a group that was only given another id finds its WhatsApp group free. That id goes at once, though
  // another worker's file still has it: the WhatsApp group stays.
  const gone = [...before].filter(([id, known]) => !ids.has(id) && known?.removedAt == null).map(([id]) => id);
  const elsewhere = await files.having(standing.others, gone);
  const claimed = new Set(resolved.values());
  const stays = (id: string) => elsewhere.has(id) && !claimed.has(before.get(id)?.recordId ?? '');
  const removed = gone.filter((id) => !stays(id));
  await inChunks(removed, (id) => removeGroup(store, id, standing.authority));

  const leaving = new Set(work.filter((one) => isLeaving(one, before, resolved)).map(({ entry }) => entry.group));
  const duplicates: { group: string; owner: string }[] = [];
  const unreadable: { group: string; reason: string }[] = [];
  await inChunks(work, async (one) => {
    const group = one.entry.group;
    const jid = resolved.get(one.entry.identifier) ?? null;
    const owner = await readable(registerGroup(store, one, { jid, leaving, standing }));
    if (owner instanceof RecordError) unreadable.push({ group, reason: owner.message });
    else if (owner !== null) duplicates.push({ group, owner });
  });

  const isNew = (id: string) => before.get(id) == null || before.get(id)?.removedAt !== null;
  const written = work.map(({ entry }) => entry.group);
  return {
    added: written.filter(isNew),
    changed: written.filter((id) => !isNew(id) && before.get(id)?.duplicateOf === null),
    removed: removed.sort(),
    duplicates: duplicates.filter(({ group, owner }) => before.get(group)?.duplicateOf !== owner),
    unreadable,
    kept: gone.filter(stays).sort(),
    outdated: different.filter(isOutdated).map(({ entry }) => entry.group),
  };
}

/** By id, without those that left the files long ago; null: not of this version. */
async function readRegistered({ redis, keys }: RegistryDependencies): Promise<Map<string, Registration | null>> {
  const nowMs = await redisTime(redis, keys);
  const before = new Map<string, Registration | null>();
  const forgotten: string[] = [];
  for (const [id, json] of Object.entries(await redis.hgetall(keys.registered))) {
    const known = parseRegistration(json);
    if (known?.removedAt != null && known.removedAt < nowMs - historyMs) forgotten.push(id);
    else before.set(id, known);
  }
  if (forgotten.length > 0) await redis.hdel(keys.registered, ...forgotten);
  return before;
}

/** A newer file, of a worker that lives, has registered something else. */
function isNewer(known: Registration | null | undefined, { authority }: FileStanding): boolean {
  return known != null && known.duplicateOf === null && isKept(known, authority);
}

/** What a newer file has registered is not replaced. */
function isKept({ removedAt, evicted, generation }: Registration, authority: number): boolean {
  return removedAt === null && !evicted && generation > authority;
}

/** Its entry names another WhatsApp group than before. */
function isLeaving(
  { entry }: Wanted,
  before: ReadonlyMap<string, Registration | null>,
  resolved: ReadonlyMap<string, string>,
): boolean {
  const known = before.get(entry.group);
  if (known == null || known.entry.identifier === entry.identifier) return false;
  return known.recordId !== resolved.get(entry.identifier);
}

/** Marks the groups whose records are gone, so that `syncRegistry` registers them again; returns their ids. */
export async function markLost({ redis, keys }: RegistryDependencies, recordIds: readonly string[]): Promise<string[]> {
  const lost = new Set(recordIds);
  const marked: Record<string, string> = {};
  for (const [id, json] of Object.entries(await redis.hgetall(keys.registered))) {
    const known = parseRegistration(json);
    if (known === null || known.removedAt !== null || !lost.has(known.recordId)) continue;
    marked[id] = JSON.stringify({ ...known, evicted: true });
  }
  const ids = Object.keys(marked);
  if (ids.length > 0) await redis.hset(keys.registered, marked);
  return ids;
}

/** A duplicate is looked at each time: its owner may have left the file. */
function isAsBefore(known: Registration | null, entry: Wanted['entry']): boolean {
  if (known === null || known.removedAt !== null || known.duplicateOf !== null || known.evicted) return false;
  return isDeepStrictEqual(known.entry, { ...known.entry, ...entry });
}

/** JIDs by the identifiers that lead to them: JIDs themselves, and codes that were resolved before. */
async function resolvedOf({ redis, keys }: RegistryDependencies, work: readonly Wanted[]) {
  const identifiers = work.map(({ entry }) => entry.identifier);
  const codes = identifiers.filter((identifier) => !isJid(identifier));
  const jids = codes.length === 0 ? [] : await redis.hmget(keys.resolved, ...codes);
  return new Map([
    ...identifiers.filter(isJid).map((jid) => [jid, jid] as const),
    ...codes.flatMap((code, i) => (jids[i] == null ? [] : [[code, jids[i]] as const])),
  ]);
}

interface Registering {
  /** Of the group, as far as its identifier tells. */
  readonly jid: string | null;
  /** Groups that name another WhatsApp group in this file than they did before. */
  readonly leaving: ReadonlySet<string>;
  readonly standing: FileStanding;
}

/** Returns the id of the group that owns the same WhatsApp group already; null: this one has it. */
async function registerGroup(
  store: GroupStore,
  wanted: Wanted,
  { jid: knownJid, leaving, standing: { generation, authority } }: Registering,
): Promise<string | null> {
  const { entry } = wanted;
  const id = entry.group;
  return await store.edit(async (reader): Promise<Edit<string | null>> => {
    const known = await reader.registration(id);
    if (known !== null && isKept(known, authority)) return { result: null };
    const currentId = known?.recordId ?? id;
    const current = await reader.record(currentId);
    // Versions before 0.2 kept a record by its id, and no entry in it.
    const isOld = current.entry === null;
    const isUnchanged = known?.entry.identifier === entry.identifier && isJid(currentId);
    const jid = knownJid ?? (isUnchanged ? currentId : isOld ? current.jid : null);
    const other = jid === null ? null : await ownerOf(reader, jid, id);
    // In the same file it names another WhatsApp group, so it makes way: two entries may have exchanged theirs.
    const makesWay = other !== null && leaving.has(other) && !(await isNewerOwner(reader, other, authority));
    const owner = makesWay ? null : other;

    const targetId = jid === null || owner !== null ? id : jid;
    const target = await reader.record(targetId);
    const moves = targetId !== currentId;
    const leaves = moves && (isOld ? currentId === id : hasEntry(current, id));
    const isMigrated = moves && isOld && current.jid === targetId;
    const isOther = targetId === id && target.entry !== null && target.entry.identifier !== entry.identifier;
    const record = isMigrated ? current : isOther ? forgetting(target) : target;
    const isHeld = leaves && !isMigrated;
    const brought = {
      held: (isHeld ? publishedOf(current) : null) ?? known?.published ?? null,
      failures: Math.max(isHeld ? current.failures : 0, known?.failures ?? 0),
    };
    const after =
      owner === null
        ? withEntry(record, wanted, jid, brought, reader.nowMs)
        : asDuplicate(record, wanted, owner, brought);
    const left = currentId === id ? null : replaced(current, reader.nowMs);
    return {
      records: { ...(leaves ? { [currentId]: left } : {}), [targetId]: after },
      registrations: {
        ...(await handOver(reader, record, id)),
        [id]: {
          ...known,
          entry: { ...known?.entry, ...entry },
          recordId: targetId,
          generation,
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
  });
}

/** A record gets another id: what consumers hold under the one that it had is noted there. */
async function handOver(reader: Reader, record: GroupRecord, id: string): Promise<Record<string, Registration>> {
  const before = record.entry?.group;
  if (before === undefined || before === id || record.replaced) return {};
  const known = await reader.registration(before);
  if (known === null) return {};
  const [published, failures] = [publishedOf(record), record.failures];
  if (known.removedAt !== null) return { [before]: { ...known, published, failures } };
  return { [before]: { ...known, recordId: before, published, failures, evicted: true } };
}

async function isNewerOwner(reader: Reader, id: string, authority: number): Promise<boolean> {
  const known = await reader.registration(id);
  return known !== null && isKept(known, authority);
}

async function removeGroup(store: GroupStore, id: string, authority: number): Promise<void> {
  await store.edit(async (reader) => {
    const known = await reader.registration(id);
    if (known === null) return { registrations: { [id]: null }, result: undefined };
    if (known.generation > authority) return { result: undefined };
    const record = await reader.record(known.recordId);
    return {
      records: hasEntry(record, id) ? { [known.recordId]: withoutEntry(record, reader.nowMs) } : {},
      registrations: {
        [id]: {
          ...known,
          removedAt: reader.nowMs,
          published: hasEntry(record, id) ? publishedOf(record) : known.published,
        },
      },
      result: undefined,
    };
  });
}

function hasEntry(record: GroupRecord, id: string): boolean {
  return record.entry?.group === id && !record.replaced;
}

async function inChunks<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += chunk) {
    await Promise.all(items.slice(from, from + chunk).map(act));
  }
}
