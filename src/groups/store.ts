/**
 * Reads and writes group records and registrations. A change is a pure function of what it reads, saved by
 * compare-and-set: if anything that it has read was changed meanwhile, it is computed again. Records, their places in
 * the planner's indexes and in those of the status, their events, the history of their links and the index of links are
 * written in one atomic step. Publishing the events is the outbox's job.
 */
import type { LinkEvent } from '../contract/event.ts';
import type { Database } from '../redis/database.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript } from '../redis/scripts.ts';
import { isJid } from '../ryze/identifier.ts';
import { withTrace } from '../tracing/spans.ts';
import { type Access, type Check, directAccess, type StoredRecord, sharedAccess, type Write } from './access.ts';
import { failedMs } from './failedOneOffs.ts';
import { type ChangedIndex, indexTimes, plannerIndexes } from './plannerIndexes.ts';
import { type GroupRecord, groupRecord, historyMs, newRecord, parseRegistration, type Registration } from './record.ts';
import { parseHistory, rememberedMs, withRevisions } from './revisions.ts';
import { statusScores } from './statusIndexes.ts';

/** The commands that read and write records. */
export const scripts = { load: loadScript('load', import.meta.url), save: loadScript('save', import.meta.url) };

/** A change of one record. Null, or the same record, leaves it as it is. */
export interface Change<T> {
  readonly record: GroupRecord | null;
  readonly events?: readonly LinkEvent[];
  readonly result: T;
}

/** Reads for a change of several records. Everything read is compared when the change is saved. */
export interface Reader {
  /** Redis's clock when the first record was read. */
  readonly nowMs: number;
  record(recordId: string): Promise<GroupRecord>;
  registration(group: string): Promise<Registration | null>;
}

/** A change of several records. */
export interface Edit<T> {
  /** By record id. Null deletes the record. */
  readonly records?: Readonly<Record<string, GroupRecord | null>>;
  /** By record id, for the results queues of that record's entry. */
  readonly events?: Readonly<Record<string, readonly LinkEvent[]>>;
  /** By group id. Null deletes the registration. */
  readonly registrations?: Readonly<Record<string, Registration | null>>;
  /** The JIDs of resolved invite codes, by code. */
  readonly resolved?: Readonly<Record<string, string>>;
  /** Whether postponed records return to their computed places in the indexes. Default: true. */
  readonly reindex?: boolean;
  readonly result: T;
}

export interface GroupStore {
  /**
   * The record, and Redis's clock. A group without a record has the empty one. Rejects with a `RecordError` if the
   * record cannot be read; `readable` turns that into a value.
   */
  load(recordId: string): Promise<{ readonly record: GroupRecord; readonly nowMs: number }>;
  registration(group: string): Promise<Registration | null>;
  /** By group id: those of `groups`, or all. Null: not stored, or not readable by this version. */
  registrations(groups?: readonly string[]): Promise<ReadonlyMap<string, Registration | null>>;
  /** Deletes registrations. */
  forget(groups: readonly string[]): Promise<void>;
  /** The record of the group that has or had this invite code, or that the file names by it. Null: none is known. */
  linkedRecord(code: string): Promise<string | null>;
  /** Changes one record, and leaves it postponed. `change` may be called more than once, so it must only compute. */
  update<T>(recordId: string, change: (record: GroupRecord, nowMs: number) => Change<T>): Promise<T>;
  /** Changes several records together. `plan` may be called more than once, so it must only read and compute. */
  edit<T>(plan: Plan<T>): Promise<T>;
  /** Makes many edits, each by itself, with few commands: what they read and write is sent together. */
  editAll<T>(plans: readonly Plan<T>[]): Promise<(T | RecordError)[]>;
}

export type Plan<T> = (reader: Reader) => Promise<Edit<T>>;

/** A record in Redis that this version cannot read. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

/** Resolves with the error if only this record cannot be read. */
export async function readable<T>(reading: Promise<T>): Promise<T | RecordError> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof RecordError) return error;
    throw error;
  }
}

/** Retries after conflicting writes: far more than contention can explain. */
const maxConflicts = 200;

interface Snapshot {
  readonly version: number;
  readonly record: GroupRecord;
  readonly nowMs: number;
}

/** Edits whose reads and writes are sent together: saving them stops Redis for a few milliseconds. */
const editsAtOnce = 250;

export function createGroupStore(db: Database): GroupStore {
  const { redis, keys } = db;

  const direct = directAccess(db, scripts);
  const snapshot = (recordId: string, { version, json, nowMs }: StoredRecord): Snapshot => {
    return { version, record: json === '' ? newRecord : parseRecord(recordId, keys.group(recordId), json), nowMs };
  };

  async function edit<T>(plan: Plan<T>, { load, registration, save }: Access = direct): Promise<T> {
    for (let conflicts = 0; ; conflicts++) {
      const seen = new Map<string, Snapshot>();
      const checks: Check[] = [];
      const change = await plan({
        get nowMs() {
          const [first] = seen.values();
          if (first === undefined) throw new Error('nowMs is only known once a record was read');
          return first.nowMs;
        },
        async record(recordId) {
          const known = seen.get(recordId) ?? snapshot(recordId, await load(recordId));
          seen.set(recordId, known);
          return known.record;
        },
        async registration(group) {
          const json = await registration(group);
          checks.push([keys.registered, group, json]);
          return parseRegistration(json);
        },
      });
      for (const [recordId, { version }] of seen) {
        checks.push([keys.group(recordId), 'version', version === 0 ? '' : String(version)]);
      }
      const writes = [...writesOf(change, seen), ...(await historyWrites(change, seen))];
      if (await save({ checks, writes, indexes: changedIndexes(change, seen, writes) })) return change.result;
      if (conflicts === maxConflicts) {
        throw new RecordError(`group ${[...seen.keys()].join(', ')}: changed in Redis ${conflicts} times in a row`);
      }
    }
  }

  function writesOf(
    { records, events, registrations, resolved, reindex = true }: Edit<unknown>,
    seen: ReadonlyMap<string, Snapshot>,
  ): Write[] {
    const writes: Write[] = [];
    // A map, because a group may be called `constructor`.
    const eventsOf = new Map(Object.entries(events ?? {}));
    for (const [recordId, after] of Object.entries(records ?? {})) {
      const before = seen.get(recordId);
      if (before === undefined) throw new Error(`record ${recordId} must be read before it is changed`);
      const { version, record } = before;
      const key = keys.group(recordId);
      if (after === null) writes.push(['DEL', key]);
      else {
        const json = JSON.stringify(groupRecord.parse(after));
        writes.push(['HSET', key, 'version', String(version + 1), 'record', json]);
        if (after.removedAt !== null) writes.push(['EXPIRE', key, String(historyMs / 1_000)]);
        else if (reindex) writes.push(['PERSIST', key]);
      }
      const [from, to] = [indexScores(record, keys), indexScores(after ?? newRecord, keys)];
      for (const index of from.keys()) if (!to.has(index)) writes.push(['ZREM', index, recordId]);
      for (const [index, score] of to) {
        if (reindex || from.get(index) !== score) writes.push(['ZADD', index, String(score), recordId]);
      }
      const reported = new Set(record.failed.map(({ identity }) => identity));
      for (const { identity, reason } of after?.failed ?? []) {
        if (reported.has(identity)) continue;
        writes.push(['SET', keys.failedOneOff(identity), reason, 'PX', String(failedMs)]);
      }
      for (const queue of after?.entry?.queues ?? []) {
        for (const event of eventsOf.get(recordId) ?? [])
          writes.push(['RPUSH', keys.outbox(queue), JSON.stringify(withTrace(event))]);
      }
    }
    for (const [group, registration] of Object.entries(registrations ?? {})) {
      if (registration === null) writes.push(['HDEL', keys.registered, group]);
      else writes.push(['HSET', keys.registered, group, JSON.stringify(registration)]);
    }
    for (const [code, jid] of Object.entries(resolved ?? {})) writes.push(['HSET', keys.resolved, code, jid]);
    return writes;
  }

  /**
   * The history of each group that gets a new link, and the index of links. The version of the record, which is compared,
   * stands for its history too.
   */
  async function historyWrites(
    { records, events, resolved, reindex = true }: Edit<unknown>,
    seen: ReadonlyMap<string, Snapshot>,
  ): Promise<Write[]> {
    const writes: Write[] = [];
    // First: a link that moves to another record is written by that one last.
    const expiring: Write[] = [];
    const expire = (code: string, recordId: string, ms: number) => {
      expiring.push(['SET', keys.link(code), recordId, 'PX', String(ms)]);
    };
    for (const [recordId, after] of Object.entries(records ?? {})) {
      const { record, nowMs } = seen.get(recordId) ?? { record: newRecord, nowMs: 0 };
      const own = new Map(Object.entries(events ?? {})).get(recordId) ?? [];
      if (own.some(isNewLink)) {
        const stored = parseHistory(await redis.hget(keys.group(recordId), 'history'));
        const { history, forgotten } = withRevisions(stored, record, own, nowMs);
        writes.push(['HSET', keys.group(recordId), 'history', JSON.stringify(history)]);
        for (const code of forgotten) writes.push(['DEL', keys.link(code)]);
        // A one-off may name a link that the record never had.
        const named = after?.replacedCodes.filter(
          (code) => code !== record.link?.code && !record.replacedCodes.includes(code),
        );
        for (const code of named ?? []) expire(code, recordId, rememberedMs);
      }
      const [from, to] = [record.link?.code, after?.link?.code];
      if (from !== undefined && from !== to) expire(from, recordId, rememberedMs);
      const named = after === null || to !== undefined ? null : codeInFile(after);
      if (named !== null) writes.push(['SET', keys.link(named), recordId, 'NX']);
      if (to === undefined) continue;
      if (after?.removedAt !== null) expire(to, recordId, historyMs);
      else if (reindex || from !== to) writes.push(['SET', keys.link(to), recordId]);
    }
    for (const [code, jid] of Object.entries(resolved ?? {})) expire(code, jid, rememberedMs);
    return [...expiring, ...writes];
  }

  function changedIndexes(
    { records }: Edit<unknown>,
    seen: ReadonlyMap<string, Snapshot>,
    writes: readonly Write[],
  ): ChangedIndex[] {
    const written = new Set(writes.map(([, key]) => key));
    const instances = new Set<string>();
    for (const [recordId, after] of Object.entries(records ?? {})) {
      for (const record of [seen.get(recordId)?.record, after]) if (record?.entry) instances.add(record.entry.instance);
    }
    return [...instances]
      .flatMap((instance) => plannerIndexes(instance, keys))
      .filter(([, index]) => written.has(index));
  }

  return {
    load: async (recordId) => snapshot(recordId, await direct.load(recordId)),
    edit: (plan) => edit(plan),

    async editAll<T>(plans: readonly Plan<T>[]) {
      const shared = sharedAccess(db, scripts);
      const results: (T | RecordError)[] = [];
      for (const some of inChunks(plans, editsAtOnce)) {
        results.push(...(await Promise.all(some.map((plan) => readable(edit(plan, shared))))));
      }
      return results;
    },

    update: (recordId, change) =>
      edit(async (reader) => {
        const seen = await reader.record(recordId);
        const { record, events = [], result } = change(seen, reader.nowMs);
        if (record === null || record === seen) return { result };
        return { records: { [recordId]: record }, events: { [recordId]: events }, reindex: false, result };
      }),

    linkedRecord: async (code) => (await redis.get(keys.link(code))) ?? (await redis.hget(keys.resolved, code)),

    registration: async (group) => parseRegistration(await redis.hget(keys.registered, group)),

    async forget(groups) {
      for (const some of inChunks(groups)) await redis.hdel(keys.registered, ...some);
    },

    async registrations(groups) {
      const known = new Map<string, Registration | null>();
      for (const some of inChunks(groups ?? (await redis.hkeys(keys.registered)))) {
        const found = await redis.hmget(keys.registered, ...some);
        for (const [i, group] of some.entries()) {
          // One that was deleted meanwhile is not among all.
          if (groups !== undefined || found[i] != null) known.set(group, parseRegistration(found[i]));
        }
      }
      return known;
    },
  };
}

/** Registrations read at once: so many block neither Redis nor this process. */
const chunk = 500;

function* inChunks<T>(items: readonly T[], size = chunk): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}

/** The code by which the file names a group whose WhatsApp group is not known yet. */
function codeInFile({ entry, jid, duplicateOf }: GroupRecord): string | null {
  if (entry === null || jid !== null || duplicateOf !== null || isJid(entry.identifier)) return null;
  return entry.identifier;
}

function isNewLink({ type }: LinkEvent): boolean {
  return type === 'link.rotated' || type === 'link.changed';
}

/** The record's scores in all indexes, by the index's key. */
function indexScores(record: GroupRecord, keys: Keys): ReadonlyMap<string, number> {
  return new Map([...indexTimes(record, keys), ...statusScores(record, keys)]);
}

export function parseRecord(recordId: string, key: string, json: string): GroupRecord {
  const unreadable = (why: string) =>
    new RecordError(
      `group ${recordId}: its record in Redis cannot be read (${why}): run the version that wrote it, or delete the key ${key} to start over`,
    );
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw unreadable('it is not JSON');
  }
  const { success, data, error } = groupRecord.safeParse(value);
  if (success) return data;
  throw unreadable(error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
