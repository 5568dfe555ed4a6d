/**
 * Reads and writes group records. Every change is a pure function of the record and of Redis's clock, applied by
 * compare-and-set: it counts only if it saw the newest record, and is tried again if somebody was faster. A change and
 * its events are one atomic step. Publishing those events is not done here (`results/outbox.ts`).
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
   * job is queued. `always`: every time is put into its set anew, and a record that was left to expire is kept.
   */
  readonly place?: 'moved' | 'always';
  /** Redis's time: the change is first tried as if the group had no record. */
  readonly asNewAt?: number;
}

export interface GroupStore {
  /**
   * The record as it stands, and Redis's clock. A group without a record has the empty one. Rejects with a
   * `RecordError` where there is one that cannot be read; `readable` makes that a value.
   */
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

/** The error instead of a rejection, where it is only this record that cannot be read. */
export async function readable<T>(reading: Promise<T>): Promise<T | RecordError> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof RecordError) return error;
    throw error;
  }
}

/** A record as it stood at some moment of Redis's clock. */
interface Snapshot {
  readonly version: number;
  readonly record: GroupRecord;
  readonly nowMs: number;
}

/** Times to try again when others write the same record; far more than contention can explain. */
const maxConflicts = 200;

export function createGroupStore(redis: RedisClient, keys: Keys): GroupStore {
  const recent = createRecent();

  async function read(id: string): Promise<Snapshot> {
    const [version, json, nowMs] = (await runScript(redis, loadLua, [keys.group(id)], [])) as [number, string, number];
    const snapshot = { version, record: json === '' ? newRecord : parseRecord(id, keys.group(id), json), nowMs };
    recent.note(id, snapshot);
    return snapshot;
  }

  return {
    load: read,

    async update(group, change, { place = 'moved', asNewAt } = {}) {
      const asNew = asNewAt === undefined ? null : { version: 0, record: newRecord, nowMs: asNewAt };
      const guess = recent.take(group.id) ?? asNew;
      for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
        const guessed = conflicts === 0 ? guess : null;
        const { version, record, nowMs } = guessed ?? (await read(group.id));
        const changed = change(record, nowMs);
        if (changed.record === null || (changed.record === record && place === 'moved')) {
          // That there is nothing to write must be true of the newest record.
          if (guessed !== null) continue;
          return changed.result;
        }
        const next = groupRecord.parse(changed.record);
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
            JSON.stringify(next),
            group.id,
            scoreOf(record.dueAt, changed.record.dueAt, place),
            scoreOf(group.verificationAt(record), group.verificationAt(changed.record), place),
            place === 'always' ? 1 : 0,
            ...(changed.events ?? []).map((event) => JSON.stringify(event)),
          ],
        );
        if (saved !== 1) continue;
        if (place === 'moved') recent.note(group.id, { version: version + 1, record: next, nowMs });
        return changed.result;
      }
      throw new RecordError(`group ${group.id}: its record in Redis changed ${maxConflicts} times in a row`);
    },
  };
}

/** For this long, and for so many groups, a record that was read or written need not be read again to be changed. */
const recentMs = 2_000;
const mostRecent = 2_000;

/**
 * The records that this process saw last. A change is tried on them first: if one was changed by others since, saving
 * refuses, and it is read anew. Redis's clock is told from the time passed since, which errs by what an answer travels.
 */
function createRecent() {
  const seen = new Map<string, { snapshot: Snapshot; steady: number; wall: number }>();
  return {
    note(id: string, snapshot: Snapshot): void {
      seen.delete(id);
      seen.set(id, { snapshot, steady: performance.now(), wall: Date.now() });
      if (seen.size <= mostRecent) return;
      for (const oldest of seen.keys()) {
        seen.delete(oldest);
        return;
      }
    },
    /** Once: whoever changes it notes what became of it. */
    take(id: string): Snapshot | null {
      const found = seen.get(id);
      seen.delete(id);
      if (found === undefined) return null;
      const passedMs = performance.now() - found.steady;
      // The steady clock stands still while the machine sleeps, the other may be set.
      if (passedMs > recentMs || Math.abs(Date.now() - found.wall - passedMs) > 100) return null;
      return { ...found.snapshot, nowMs: found.snapshot.nowMs + Math.floor(passedMs) };
    },
  };
}

function scoreOf(before: number | null, after: number | null, place: 'moved' | 'always'): number | string {
  return place === 'moved' && before === after ? 'keep' : (after ?? '');
}

function parseRecord(id: string, key: string, json: string): GroupRecord {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw unreadableRecord(id, key, 'it is not JSON');
  }
  const parsed = groupRecord.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw unreadableRecord(id, key, where);
}

function unreadableRecord(id: string, key: string, why: string): RecordError {
  return new RecordError(
    `group ${id}: its record in Redis cannot be read (${why}): run the version that wrote it, or delete the key ${key} to begin anew`,
  );
}
