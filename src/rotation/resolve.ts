/**
 * A first read has shown the JID of a group that the file names by a code or link. Its record becomes that of the JID,
 * in one step with what the read showed; if another group owns the WhatsApp group, it is a duplicate from then on.
 */
import { withEntry } from '../groups/entries.ts';
import { ownerOf } from '../groups/jids.ts';
import { type Attempt, publishedOf } from '../groups/record.ts';
import type { GroupStore } from '../groups/store.ts';
import { owns } from './decide.ts';
import type { NewLink } from './revision.ts';
import { transition } from './transition.ts';
import type { Outcome } from './types.ts';

export interface Resolved extends Outcome {
  /** The record that the group has from now on. */
  readonly recordId: string;
  /** The group that owns the JID already; null: this one does now. */
  readonly owner: string | null;
}

/** Ends the attempt of the read. `id`: of the group, whose record had that name until now. */
export async function resolveGroup(
  store: GroupStore,
  id: string,
  attempt: Attempt,
  { jid, link }: { readonly jid: string; readonly link: NewLink | null },
  settleTimeMs: number,
): Promise<Resolved> {
  return await store.edit<Resolved>(async (reader) => {
    const own = await reader.record(id);
    const known = await reader.registration(id);
    if (own.entry === null || own.removedAt !== null || known?.recordId !== id || !owns(own, attempt.id)) {
      return { result: { record: own, events: [], fenced: true, recordId: id, owner: null } };
    }
    const end = (record: typeof own, result: { kind: 'read'; link: NewLink | null } | { kind: 'rejected' }) =>
      transition(record, { kind: 'ended', attempt, result }, reader.nowMs, settleTimeMs);

    const owner = await ownerOf(reader, jid, id);
    if (owner !== null) {
      const outcome = end({ ...own, duplicateOf: owner }, { kind: 'rejected' });
      return {
        records: { [id]: outcome.record },
        registrations: { [id]: { ...known, duplicateOf: owner } },
        resolved: { [own.entry.identifier]: jid },
        result: { ...outcome, recordId: id, owner },
      };
    }
    const target = await reader.record(jid);
    const inherited = { published: publishedOf(own), failures: own.failures };
    const claimed = withEntry(target, { entry: own.entry, firstSeen: 'spread' }, jid, inherited, reader.nowMs);
    const outcome = end(
      {
        ...claimed,
        dueAt: target.entry === null ? own.dueAt : claimed.dueAt,
        // This very read is the one that was due.
        readDueAt: own.readDueAt,
        attempt: target.attempt ?? own.attempt,
      },
      { kind: 'read', link },
    );
    return {
      records: { [id]: null, [jid]: outcome.record },
      events: { [jid]: outcome.events },
      registrations: { [id]: { ...known, recordId: jid } },
      resolved: { [own.entry.identifier]: jid },
      result: { ...outcome, recordId: jid, owner: null },
    };
  });
}
