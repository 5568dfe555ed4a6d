/** Finds the record of a group that somebody names. */
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { isJid } from '../ryze/identifier.ts';
import { type Entry, type GroupRecord, isRegistered } from './record.ts';
import { parseRegistration } from './registration.ts';
import type { GroupStore } from './store.ts';

export interface FoundGroup {
  readonly recordId: string;
  readonly entry: Entry;
  /** Whether a file has it now. */
  readonly registered: boolean;
}

/** Finds a group by its id or JID, also by an id that it had before it was renamed; null: nobody registered it. */
export async function findGroup(
  redis: RedisClient,
  keys: Keys,
  store: GroupStore,
  name: string,
): Promise<FoundGroup | null> {
  if (isJid(name)) return foundIn(name, (await store.load(name)).record);
  const known = parseRegistration(await redis.hget(keys.registered, name));
  if (known === null) return null;
  const { recordId, removedAt } = known;
  if (removedAt === null) return { recordId, entry: known.entry, registered: true };
  // Its WhatsApp group may have got another id, or its own may have been given to another.
  return foundIn(recordId, (await store.load(recordId)).record);
}

function foundIn(recordId: string, record: GroupRecord): FoundGroup | null {
  if (record.entry === null || record.replaced) return null;
  return { recordId, entry: record.entry, registered: isRegistered(record) };
}
