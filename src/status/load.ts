/** Reads groups' records for a status, so many at once that neither Redis nor this process is blocked. */
import { setImmediate } from 'node:timers/promises';
import type { Config, GroupConfig } from '../config/config.ts';
import { type GroupRecord, newRecord } from '../groups/record.ts';
import { groupStates } from '../groups/states.ts';
import { createGroupStore, parseRecord, RecordError } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import { type GroupStatus, groupStatus, type ShownGroup, shownEntry, unreadableStatus } from './groupStatus.ts';

/** Records read at once. */
const atOnce = 100;

/** Groups of a file, the most urgent first. Those that no worker has registered are new. */
export async function loadFromFile(
  db: Database,
  groups: readonly GroupConfig[],
  nowMs: number,
): Promise<GroupStatus[]> {
  const store = createGroupStore(db);
  const loaded: GroupStatus[] = [];
  for (let from = 0; from < groups.length; from += atOnce) {
    const some = groups.slice(from, from + atOnce);
    const known = await store.registrations(some.map(({ id }) => id));
    const ids = some.map(({ id }) => known.get(id)?.recordId ?? id);
    const records = await readRecords(db, ids);
    for (const [i, group] of some.entries()) loaded.push(statusOf(group, records[i] ?? newRecord, nowMs));
    await setImmediate();
  }
  return loaded.sort(byUrgency);
}

/** The groups of these records. A record that is gone by now is left out. */
export async function loadRecords(
  db: Database,
  { groupsById, groupsByJid }: Config,
  recordIds: readonly string[],
  nowMs: number,
): Promise<GroupStatus[]> {
  const loaded: GroupStatus[] = [];
  for (let from = 0; from < recordIds.length; from += atOnce) {
    const some = recordIds.slice(from, from + atOnce);
    const records = await readRecords(db, some);
    for (const [i, id] of some.entries()) {
      const record = records[i] ?? null;
      const entry = record === null || record instanceof RecordError ? null : record.entry;
      const named = entry === null ? (groupsByJid.get(id) ?? groupsById.get(id)) : groupsById.get(entry.group);
      const group = named ?? (entry && shownEntry(entry));
      if (record !== null && group !== null) loaded.push(statusOf(group, record, nowMs));
    }
    await setImmediate();
  }
  return loaded;
}

function statusOf(group: ShownGroup, record: GroupRecord | RecordError, nowMs: number): GroupStatus {
  return record instanceof RecordError ? unreadableStatus(group, record, nowMs) : groupStatus(group, record, nowMs);
}

export function byUrgency(a: GroupStatus, b: GroupStatus): number {
  return groupStates.indexOf(a.state) - groupStates.indexOf(b.state) || (a.group < b.group ? -1 : 1);
}

/** Null: there is none. */
async function readRecords(
  { redis, keys }: Database,
  recordIds: readonly string[],
): Promise<(GroupRecord | RecordError | null)[]> {
  const jsons = await Promise.all(recordIds.map((id) => redis.hget(keys.group(id), 'record')));
  return jsons.map((json, i) => {
    const id = recordIds[i] ?? '';
    if (json === null) return null;
    try {
      return parseRecord(id, keys.group(id), json);
    } catch (error) {
      if (error instanceof RecordError) return error;
      throw error;
    }
  });
}
