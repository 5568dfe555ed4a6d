/**
 * Reads the links of many groups at once, by their ids only: a public server must not find a group by its JID or by an
 * invite code. What is stored is parsed again only if it has changed, since most reads find what the last one found.
 */
import { inviteLink } from '../contract/event.ts';
import { isRegistered, knownLink, newRecord, parseRegistration, type Registration } from '../groups/record.ts';
import { parseRecord, RecordError } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';

/** What Redis holds of a group id. */
export type Found =
  | {
      readonly status: 'registered';
      /** The group's id now: it may have been renamed. */
      readonly group: string;
      readonly jid: string | null;
      /** Null: the first link is not known yet. */
      readonly inviteLink: string | null;
    }
  /** It left the files, or names another WhatsApp group. */
  | { readonly status: 'removed' }
  /** It was never registered, or Redis has lost it. */
  | { readonly status: 'unknown' }
  /** Another version wrote it, or it is damaged. */
  | { readonly status: 'unreadable' };

export interface Reading {
  /** No group is registered at all. */
  readonly isEmpty: boolean;
  readonly found: ReadonlyMap<string, Found>;
}

/** What was stored under an id, as JSON, and what it means. */
interface Seen {
  readonly registration: string;
  readonly recordId: string;
  readonly record: string;
  readonly found: Found;
}

export function createLinkReader({ redis, keys }: Database) {
  const seen = new Map<string, Seen>();

  /** Null: no worker has registered the id, or not in a way that this version can read. */
  function registrationOf(group: string, json: string | null) {
    if (json === null) return null;
    const known = seen.get(group);
    if (known?.registration === json) return { json, recordId: known.recordId };
    const recordId = parseRegistration(json)?.recordId;
    return recordId === undefined ? null : { json, recordId };
  }

  function foundOf(group: string, registration: { json: string; recordId: string }, record: string): Found {
    const known = seen.get(group);
    if (known?.registration === registration.json && known.record === record) return known.found;
    const found = parseFound(registration.json, record, keys.group(registration.recordId));
    seen.set(group, { registration: registration.json, recordId: registration.recordId, record, found });
    return found;
  }

  return async function read(groups: readonly string[]): Promise<Reading> {
    const stored = groups.length === 0 ? [] : await redis.hmget(keys.registered, ...groups);
    const registrations = groups.map((group, i) => registrationOf(group, stored[i] ?? null));
    const pipeline = redis.pipeline().hlen(keys.registered);
    for (const one of registrations) if (one !== null) pipeline.hget(keys.group(one.recordId), 'record');
    const [registered, ...replies] = repliesOf(await pipeline.exec());
    const found = new Map<string, Found>();
    let next = 0;
    for (const [i, group] of groups.entries()) {
      const registration = registrations[i] ?? null;
      if (registration === null) {
        seen.delete(group);
        found.set(group, { status: stored[i] == null ? 'unknown' : 'unreadable' });
        continue;
      }
      const record = replies[next++];
      found.set(group, foundOf(group, registration, typeof record === 'string' ? record : ''));
    }
    return { isEmpty: registered === 0, found };
  };
}

/** Throws the error of the first command that failed. */
function repliesOf(results: readonly (readonly [Error | null, unknown])[] | null): unknown[] {
  return (results ?? []).map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}

/** Pure. `json`: the record; '' if there is none. */
function parseFound(registrationJson: string, json: string, key: string): Found {
  const registration = parseRegistration(registrationJson);
  if (registration === null) return { status: 'unreadable' };
  try {
    const record = json === '' ? newRecord : parseRecord(registration.recordId, key, json);
    const group = groupOf(registration, record);
    if (group === null) return { status: 'removed' };
    const link = knownLink(record)?.inviteLink ?? null;
    if (link !== null && !inviteLink.safeParse(link).success) return { status: 'unreadable' };
    return { status: 'registered', group, jid: record.jid, inviteLink: link };
  } catch (error) {
    if (error instanceof RecordError) return { status: 'unreadable' };
    throw error;
  }
}

/** The group's id now. Null: it left the files, or the id names another WhatsApp group. */
function groupOf({ entry, removedAt }: Registration, record: ReturnType<typeof parseRecord>): string | null {
  if (removedAt === null) return entry.group;
  return record.entry === null || record.replaced || !isRegistered(record) ? null : record.entry.group;
}
