/**
 * Reads and writes group records. Every change is a pure function of the record and of Redis's clock, applied by
 * compare-and-set: it sees the newest record, and is tried again if somebody was faster. A change and its events are
 * one atomic step. Publishing those events is not done here (`results/outbox.ts`).
 */
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import type { LinkEvent } from '../results/event.ts';
import { type GroupRecord, groupRecord, newRecord } from './record.ts';

const loadLua = loadScript('load', import.meta.url);
const saveLua = loadScript('save', import.meta.url);

/** What a change makes of a record; null, or the same record, leaves it as it is. */
export interface Change<T> {
  readonly record: GroupRecord | null;
  readonly events?: readonly LinkEvent[];
  readonly result: T;
}

/** Where a group's times are kept, and what its record does not say itself. */
export interface GroupPlace {
  readonly id: string;
  readonly instance: string;
  /** Results queues whose outboxes get this group's events. */
  readonly queues: readonly string[];
  /** When the record's link is to be read back next; null: not planned. */
  verificationAt(record: GroupRecord): number | null;
}

export interface UpdateOptions {
  /**
   * `moved` (default): a time that did not change stays where the planner put it, which holds a group back while its
   * job is queued. `always`: every time is put into its set anew.
   */
  readonly place?: 'moved' | 'always';
}

export interface GroupStore {
  /** The record as it stands, and Redis's clock. A group without a record has the empty one. */
  load(id: string): Promise<{ readonly record: GroupRecord; readonly nowMs: number }>;
  /** Applies a change; `change` may be called more than once, and must not do anything but compute. */
  update<T>(
    group: GroupPlace,
    change: (record: GroupRecord, nowMs: number) => Change<T>,
    options?: UpdateOptions,
  ): Promise<T>;
}

/** A record in Redis that this version cannot read. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

/** Times to try again when others write the same record; far more than contention can explain. */
const maxConflicts = 200;

export function createGroupStore(redis: RedisClient, keys: Keys): GroupStore {
  async function read(id: string) {
    const [version, json, nowMs] = (await runScript(redis, loadLua, [keys.group(id)], [])) as [number, string, number];
    return { version, record: json === '' ? newRecord : parseRecord(id, json), nowMs };
  }

  return {
    load: read,

    async update(group, change, { place = 'moved' } = {}) {
      for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
        const { version, record, nowMs } = await read(group.id);
        const changed = change(record, nowMs);
        if (changed.record === null || (changed.record === record && place === 'moved')) return changed.result;
        const saved = await runScript(
          redis,
          saveLua,
          [
            keys.group(group.id),
            keys.due(group.instance),
            keys.verifications(group.instance),
            ...group.queues.map((queue) => keys.outbox(queue)),
          ],
          [
            version,
            JSON.stringify(groupRecord.parse(changed.record)),
            group.id,
            scoreOf(record.dueAt, changed.record.dueAt, place),
            scoreOf(group.verificationAt(record), group.verificationAt(changed.record), place),
            ...(changed.events ?? []).map((event) => JSON.stringify(event)),
          ],
        );
        if (saved === 1) return changed.result;
      }
      throw new RecordError(`group ${group.id}: its record in Redis changed ${maxConflicts} times in a row`);
    },
  };
}

function scoreOf(before: number | null, after: number | null, place: 'moved' | 'always'): number | string {
  return place === 'moved' && before === after ? 'keep' : (after ?? '');
}

function parseRecord(id: string, json: string): GroupRecord {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new RecordError(`group ${id}: its record in Redis is not JSON`);
  }
  const parsed = groupRecord.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new RecordError(`group ${id}: its record in Redis is not one of this version (${where})`);
}
