/** Which group has a JID. */
import { isRegistered } from './record.ts';
import type { Reader } from './store.ts';

/** The other group that has this JID; it counts only while it is registered. */
export async function ownerOf(reader: Reader, jid: string, id: string): Promise<string | null> {
  const record = await reader.record(jid);
  const owner = record.entry?.group;
  if (owner === undefined || owner === id || record.replaced || !isRegistered(record)) return null;
  const known = await reader.registration(owner);
  return known?.removedAt === null && known.recordId === jid ? owner : null;
}
