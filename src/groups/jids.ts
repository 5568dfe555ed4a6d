/** Which WhatsApp group a name or an identifier stands for, and which group of the files owns it. */
import type { Database } from '../redis/database.ts';
import { isJid, parseIdentifier } from '../ryze/identifier.ts';
import { eachInSlices } from '../slices.ts';
import { type Entry, isRegistered } from './record.ts';
import type { GroupStore, Reader } from './store.ts';

export interface FoundGroup {
  readonly recordId: string;
  readonly entry: Entry;
  /** Whether a file has the group now. */
  readonly registered: boolean;
  /** The invite code by which it was named. Null: it was named by its id or JID. */
  readonly code: string | null;
}

/**
 * Finds a group by its id, its JID, an id that it had before, or an invite code or link that it has or had, in this
 * order. Null if no worker ever registered it.
 */
export async function findGroup(store: GroupStore, name: string): Promise<FoundGroup | null> {
  const known = await store.registration(name);
  if (known?.removedAt === null) {
    return { recordId: known.recordId, entry: known.entry, registered: true, code: null };
  }
  // The WhatsApp group may have another id by now, or the id may belong to another WhatsApp group.
  if (known !== null) return await foundIn(store, known.recordId, null);
  const identifier = parseIdentifier(name);
  if (identifier?.kind === 'jid') return await foundIn(store, identifier.jid, null);
  const recordId = identifier === null ? null : await store.linkedRecord(identifier.code);
  return recordId === null ? null : await foundIn(store, recordId, identifier?.code ?? null);
}

async function foundIn(store: GroupStore, recordId: string, code: string | null): Promise<FoundGroup | null> {
  const { record } = await store.load(recordId);
  if (record.entry === null || record.replaced) return null;
  return { recordId, entry: record.entry, registered: isRegistered(record), code };
}

/** WhatsApp's codes mix cases and have digits; few of 22 characters have none. */
const likeCode = /^(?=[a-z0-9]*[A-Z])(?=[A-Za-z]*[0-9]|.{20})[A-Za-z0-9]+$/;

/**
 * The invite code of a name that stands for no group so far. Null: it is not a link, and does not look like a code, so it
 * is probably a misspelt id.
 */
export function codeIn(name: string): string | null {
  const identifier = parseIdentifier(name);
  if (identifier?.kind !== 'code') return null;
  const isLink = /[./]/.test(name);
  return isLink || likeCode.test(identifier.code) ? identifier.code : null;
}

/** The group other than `id` that owns this JID. A group owns a JID only while it is registered. */
export async function ownerOf(reader: Reader, jid: string, id: string): Promise<string | null> {
  const record = await reader.record(jid);
  const owner = record.entry?.group;
  if (owner === undefined || owner === id || record.replaced || !isRegistered(record)) return null;
  const known = await reader.registration(owner);
  return known?.removedAt === null && known.recordId === jid ? owner : null;
}

/** Codes looked up at once. */
const atOnce = 5_000;

/** JIDs by identifier: of JIDs themselves, and of codes that a read has resolved before. */
export async function resolveIdentifiers(
  { redis, keys }: Database,
  identifiers: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const codes: string[] = [];
  await eachInSlices(identifiers, (identifier) => {
    if (isJid(identifier)) found.set(identifier, identifier);
    else codes.push(identifier);
  });
  for (let from = 0; from < codes.length; from += atOnce) {
    const some = codes.slice(from, from + atOnce);
    const jids = await redis.hmget(keys.resolved, ...some);
    for (const [i, code] of some.entries()) if (jids[i] != null) found.set(code, jids[i]);
  }
  return found;
}
