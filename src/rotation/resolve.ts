/**
 * Stores a read that has shown the JID of a group that the file names by a code or link. The group's record becomes that
 * of the JID, in one step with what the read showed. If another group owns the JID already, this one is a duplicate.
 */
import { withEntry } from '../groups/entries.ts';
import { ownerOf } from '../groups/jids.ts';
import { type Attempt, publishedOf } from '../groups/record.ts';
import type { GroupStore } from '../groups/store.ts';
import type { CallOutcome } from '../ryze/outcome.ts';
import { owns } from './decide.ts';
import { transition } from './transition.ts';
import type { Transition } from './types.ts';

type Resolved = Transition & {
  /** The name of the group's record from now on. */
  readonly recordId: string;
  /** The group that owns the JID already. null: this one owns it now. */
  readonly owner: string | null;
};

/** Ends the attempt of the read. `id`: the group's, which has named its record so far. */
export async function resolveGroup(
  store: GroupStore,
  id: string,
  attempt: Attempt,
  { jid, inviteCode }: { readonly jid: string; readonly inviteCode: string | null },
  settleTimeMs: number,
): Promise<Resolved> {
  return await store.edit<Resolved>(async (reader) => {
    const own = await reader.record(id);
    const known = await reader.registration(id);
    if (own.entry === null || own.removedAt !== null || known?.recordId !== id || !owns(own, attempt.id)) {
      return { result: { record: own, events: [], fenced: true, recordId: id, owner: null } };
    }
    const end = (record: typeof own, outcome: CallOutcome | null) =>
      transition(record, { kind: 'ended', attempt, outcome }, reader.nowMs, settleTimeMs);

    const owner = await ownerOf(reader, jid, id);
    if (owner !== null) {
      const ended = end({ ...own, duplicateOf: owner }, null);
      return {
        records: { [id]: ended.record },
        registrations: { [id]: { ...known, duplicateOf: owner } },
        resolved: { [own.entry.identifier]: jid },
        result: { ...ended, recordId: id, owner },
      };
    }
    const target = await reader.record(jid);
    const inherited = { published: publishedOf(own), failures: own.failures };
    const claimed = withEntry(target, { entry: own.entry, firstSeen: 'spread' }, jid, inherited, reader.nowMs);
    const ended = end(
      {
        ...claimed,
        dueAt: target.entry === null ? own.dueAt : claimed.dueAt,
        // This very read is the one that was due.
        readDueAt: own.readDueAt,
        // Redis has lost the record, so a forgotten reset may be in flight.
        verificationOwedAt: own.verificationOwedAt ?? claimed.verificationOwedAt,
        resetsFrom: own.resetsFrom ?? claimed.resetsFrom,
        attempt: target.attempt ?? own.attempt,
      },
      { kind: 'read', jid, inviteCode },
    );
    return {
      records: { [id]: null, [jid]: ended.record },
      events: { [jid]: ended.events },
      registrations: { [id]: { ...known, recordId: jid } },
      resolved: { [own.entry.identifier]: jid },
      result: { ...ended, recordId: jid, owner: null },
    };
  });
}
