/**
 * Reads and writes group records and the index of ids. Every change is a pure function of what it reads, applied by
 * compare-and-set: it counts only if nothing that it read has changed, and is tried again otherwise. Records, their
 * places in the planner's indexes and their events are one atomic step. Publishing those events is not done here
 * (`results/outbox.ts`).
 */

import type { LinkEvent } from '../contract/event.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, redisTime, runScript } from '../redis/scripts.ts';
import { indexEntries } from './indexes.ts';
import { type GroupRecord, groupRecord, historyMs, newRecord } from './record.ts';
import { parseRegistration, type Registration } from './registration.ts';
import { createSave, type Save } from './save.ts';

const loadLua = loadScript('load', import.meta.url);

/** What a change makes of one record; null, or the same record, leaves it as it is. */
export interface Change<T> {
  readonly record: GroupRecord | null;
  readonly events?: readonly LinkEvent[];
  readonly result: T;
}

/** What a change may read. Whatever it has read is compared when the change is saved. */
export interface Reader {
  readonly nowMs: number;
  record(recordId: string): Promise<GroupRecord>;
  registration(group: string): Promise<Registration | null>;
}

/** What a change of several records makes of them. */
export interface Edit<T> {
  /** By record id; null: the record is deleted. */
  readonly records?: Readonly<Record<string, GroupRecord | null>>;
  /** By record id, for the results queues of that record's entry. */
  readonly events?: Readonly<Record<string, readonly LinkEvent[]>>;
  /** By group id; null: the id is forgotten. */
  readonly registrations?: Readonly<Record<string, Registration | null>>;
  /** The JID that an invite code led to, by code. */
  readonly resolved?: Readonly<Record<string, string>>;
  readonly result: T;
}

export interface GroupStore {
  /**
   * The record as it stands, and Redis's clock. A group without a record has the empty one. Rejects with a
   * `RecordError` where there is one that cannot be read; `readable` makes that a value.
   */
  load(recordId: string): Promise<{ readonly record: GroupRecord; readonly nowMs: number }>;
  /** Changes one record; `change` may be called more than once, and must not do anything but compute. */
  update<T>(recordId: string, change: (record: GroupRecord, nowMs: number) => Change<T>): Promise<T>;
  /**
   * Changes several records together, and puts each into its indexes anew, wherever the planner has held it. `plan` may
   * be called more than once, and must not do anything but read and compute.
   */
  edit<T>(plan: (reader: Reader) => Promise<Edit<T>>): Promise<T>;
}

/** A record in Redis that this version cannot read. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

/** The error instead of a rejection, where it is only this record that cannot be read. */
export async function readable<T>(reading: Promise<T>): Promise<T | RecordError> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof RecordError) return error;
    throw error;
  }
}

/** Times to try again when others write the same record; far more than contention can explain. */
const maxConflicts = 200;

interface Snapshot {
  readonly version: number;
  readonly record: GroupRecord;
  readonly nowMs: number;
}

export function createGroupStore(redis: RedisClient, keys: Keys): GroupStore {
  async function read(recordId: string): Promise<Snapshot> {
    const key = keys.group(recordId);
    const [version, json, nowMs] = (await runScript(redis, loadLua, [key], [])) as [number, string, number];
    return { version, record: json === '' ? newRecord : parseRecord(recordId, key, json), nowMs };
  }

  /** `anew`: the record goes to its places in the indexes even where the planner has held it back. */
  function put(
    save: Save,
    recordId: string,
    seen: Snapshot,
    { after, events, anew }: { after: GroupRecord | null; events: readonly LinkEvent[]; anew: boolean },
  ): void {
    const key = keys.group(recordId);
    save.check(key, 'version', versionText(seen));
    if (after === null) save.write('DEL', key);
    else {
      const json = JSON.stringify(groupRecord.parse(after));
      save.write('HSET', key, 'version', String(seen.version + 1), 'record', json);
      if (after.removedAt !== null) save.write('EXPIRE', key, String(historyMs / 1_000));
      else if (anew) save.write('PERSIST', key);
    }
    const [from, to] = [indexEntries(seen.record, keys), indexEntries(after ?? newRecord, keys)];
    for (const index of ['due', 'verification', 'unsettled'] as const) {
      const [old, next] = [from[index], to[index]];
      if (old !== null && old.key !== next?.key) save.write('ZREM', old.key, recordId);
      if (next !== null && (anew || next.key !== old?.key || next.atMs !== old.atMs)) {
        save.write('ZADD', next.key, String(next.atMs), recordId);
      }
    }
    for (const queue of after?.entry?.queues ?? []) {
      for (const event of events) save.write('RPUSH', keys.outbox(queue), JSON.stringify(event));
    }
  }

  return {
    load: read,

    update: (recordId, change) =>
      untilSaved(`group ${recordId}`, async () => {
        const seen = await read(recordId);
        const { record, events = [], result } = change(seen.record, seen.nowMs);
        const save = createSave();
        if (record !== null && record !== seen.record) {
          put(save, recordId, seen, { after: record, events, anew: false });
        }
        return { saved: await save.run(redis), result };
      }),

    edit: (plan) =>
      untilSaved('a change of several groups', async () => {
        const save = createSave();
        const seen = new Map<string, Snapshot>();
        const { records, events, registrations, resolved, result } = await plan({
          nowMs: await redisTime(redis, keys),
          async record(recordId) {
            const snapshot = seen.get(recordId) ?? (await read(recordId));
            seen.set(recordId, snapshot);
            return snapshot.record;
          },
          async registration(group) {
            const json = (await redis.hget(keys.registered, group)) ?? '';
            save.check(keys.registered, group, json);
            return parseRegistration(json);
          },
        });
        for (const [recordId, snapshot] of seen) {
          const after = own(records, recordId);
          if (after === undefined) save.check(keys.group(recordId), 'version', versionText(snapshot));
          else put(save, recordId, snapshot, { after, events: own(events, recordId) ?? [], anew: true });
        }
        for (const [group, registration] of Object.entries(registrations ?? {})) {
          if (registration === null) save.write('HDEL', keys.registered, group);
          else save.write('HSET', keys.registered, group, JSON.stringify(registration));
        }
        for (const [code, jid] of Object.entries(resolved ?? {})) save.write('HSET', keys.resolved, code, jid);
        return { saved: await save.run(redis), result };
      }),
  };
}

async function untilSaved<T>(what: string, once: () => Promise<{ saved: boolean; result: T }>): Promise<T> {
  for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
    const { saved, result } = await once();
    if (saved) return result;
  }
  throw new RecordError(`${what}: what it reads in Redis changed ${maxConflicts} times in a row`);
}

/** A group may be called `constructor`. */
function own<V>(values: Readonly<Record<string, V>> | undefined, key: string): V | undefined {
  return values !== undefined && Object.hasOwn(values, key) ? values[key] : undefined;
}

/** As Redis holds it; '': there is no record. */
function versionText({ version }: Snapshot): string {
  return version === 0 ? '' : String(version);
}

function parseRecord(recordId: string, key: string, json: string): GroupRecord {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw unreadableRecord(recordId, key, 'it is not JSON');
  }
  const parsed = groupRecord.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw unreadableRecord(recordId, key, where);
}

function unreadableRecord(recordId: string, key: string, why: string): RecordError {
  return new RecordError(
    `group ${recordId}: its record in Redis cannot be read (${why}): run the version that wrote it, or delete the key ${key} to begin anew`,
  );
}
