/** Which WhatsApp group a name or an identifier stands for, and which group of the files owns it. */
import type { Database } from '../redis/database.ts';
import { isJid } from '../ryze/identifier.ts';
import { type Entry, type GroupRecord, isRegistered } from './record.ts';
import type { GroupStore, Reader } from './store.ts';

export interface FoundGroup {
  readonly recordId: string;
  readonly entry: Entry;
  /** Whether a file has the group now. */
  readonly registered: boolean;
}

/** Finds a group by its id, its JID, or an id that it had before. Null if no worker ever registered it. */
export async function findGroup(store: GroupStore, name: string): Promise<FoundGroup | null> {
  if (isJid(name)) return foundIn(name, (await store.load(name)).record);
  const known = await store.registration(name);
  if (known === null) return null;
  const { recordId, entry, removedAt } = known;
  if (removedAt === null) return { recordId, entry, registered: true };
  // The WhatsApp group may have another id by now, or the id may belong to another WhatsApp group.
  return foundIn(recordId, (await store.load(recordId)).record);
}

function foundIn(recordId: string, record: GroupRecord): FoundGroup | null {
  if (record.entry === null || record.replaced) return null;
  return { recordId, entry: record.entry, registered: isRegistered(record) };
}

/** The group other than `id` that owns this JID. A group owns a JID only while it is registered. */
export async function ownerOf(reader: Reader, jid: string, id: string): Promise<string | null> {
  const record = await reader.record(jid);
  const owner = record.entry?.group;
  if (owner === undefined || owner === id || record.replaced || !isRegistered(record)) return null;
  const known = await reader.registration(owner);
  return known?.removedAt === null && known.recordId === jid ? owner : null;
}

/** JIDs by identifier: of JIDs themselves, and of codes that a read has resolved before. */
export async function resolveIdentifiers(
  { redis, keys }: Database,
  identifiers: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const codes = identifiers.filter((identifier) => !isJid(identifier));
  const jids = codes.length === 0 ? [] : await redis.hmget(keys.resolved, ...codes);
  return new Map([
    ...identifiers.filter(isJid).map((jid) => [jid, jid] as const),
    ...codes.flatMap((code, i) => (jids[i] == null ? [] : [[code, jids[i]] as const])),
  ]);
}
