/**
 * The commands of the group store: reads of records and registrations, and the compare-and-set that writes them. Each
 * goes to Redis by itself, or together with others of its kind.
 */
import { setImmediate } from 'node:timers/promises';
import type { Database } from '../redis/database.ts';
import { runScript, type Script } from '../redis/scripts.ts';
import type { ChangedIndex } from './plannerIndexes.ts';

/** `load.lua` and `save.lua`. */
export interface Scripts {
  readonly load: Script;
  readonly save: Script;
}

/** A record as it is stored, and Redis's clock. Version 0, without JSON: there is none. */
export interface StoredRecord {
  readonly version: number;
  readonly json: string;
  readonly nowMs: number;
}

/** Compared by `save.lua`: a key, a hash field, and the value that was read; '' for none. */
export type Check = [key: string, field: string, seen: string];
/** Written by `save.lua`. */
export type Write = [command: string, key: string, ...args: string[]];

export interface SavedChange {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
  /** The planner's indexes that the writes change. */
  readonly indexes?: readonly ChangedIndex[];
}

export interface Access {
  load(recordId: string): Promise<StoredRecord>;
  /** As JSON; '' if there is none. */
  registration(group: string): Promise<string>;
  /** False if something that was read has changed; then nothing was written. */
  save(change: SavedChange): Promise<boolean>;
}

/** Each command by itself. */
export function directAccess(db: Database, scripts: Scripts): Access {
  return {
    load: async (recordId) => only(await loadRecords(db, scripts, [recordId])),
    registration: async (group) => (await db.redis.hget(db.keys.registered, group)) ?? '',
    save: async (change) => change.writes.length === 0 || only(await saveChanges(db, scripts, [change])),
  };
}

/**
 * Sends what is asked for at about the same time in one command. Nothing is kept: what is read is newer than the call.
 */
export function sharedAccess(db: Database, scripts: Scripts): Access {
  const save = together((changes: readonly SavedChange[]) => saveChanges(db, scripts, changes));
  return {
    load: together((recordIds) => loadRecords(db, scripts, recordIds)),
    registration: together((groups) => loadRegistrations(db, groups)),
    save: async (change) => change.writes.length === 0 || (await save(change)),
  };
}

/** What many callers do with their answers takes turns, so that it never stops other work for long. */
const answersPerTurn = 50;

/** Collects calls for as long as each turn of the event loop brings new ones. */
function together<A, R>(run: (asked: readonly A[]) => Promise<readonly R[]>): (one: A) => Promise<R> {
  let asked: A[] = [];
  let answers: Promise<readonly R[]> | null = null;

  async function runAll(): Promise<readonly R[]> {
    for (let before = 0; before < asked.length; ) {
      before = asked.length;
      await setImmediate();
    }
    const all = asked;
    asked = [];
    answers = null;
    return await run(all);
  }

  return async (one) => {
    const at = asked.push(one) - 1;
    answers ??= runAll();
    const all = await answers;
    for (let turn = answersPerTurn; turn <= at; turn += answersPerTurn) await setImmediate();
    return all[at] as R;
  };
}

async function loadRecords(
  { redis, keys }: Database,
  { load }: Scripts,
  recordIds: readonly string[],
): Promise<StoredRecord[]> {
  const [nowMs, ...found] = (await runScript(redis, load, recordIds.map(keys.group), [])) as [number, ...unknown[]];
  return recordIds.map((_, i) => ({ version: found[2 * i] as number, json: found[2 * i + 1] as string, nowMs }));
}

async function loadRegistrations({ redis, keys }: Database, groups: readonly string[]): Promise<string[]> {
  return (await redis.hmget(keys.registered, ...groups)).map((json) => json ?? '');
}

async function saveChanges(
  { redis }: Database,
  { save }: Scripts,
  changes: readonly SavedChange[],
): Promise<boolean[]> {
  const numbers = new Map<string, number>();
  const numberOf = (key: string) => {
    const number = numbers.get(key) ?? numbers.size + 1;
    numbers.set(key, number);
    return number;
  };
  const args = changes.flatMap(({ checks, writes, indexes = [] }) => [
    JSON.stringify(checks.map(([key, ...rest]) => [numberOf(key), ...rest])),
    JSON.stringify(writes.map(([command, key, ...rest]) => [command, numberOf(key), ...rest])),
    JSON.stringify(indexes.map(([key, index, instance]) => [numberOf(key), numberOf(index), instance])),
  ]);
  const saved = (await runScript(redis, save, [...numbers.keys()], args)) as number[];
  return saved.map((one) => one === 1);
}

function only<T>([one]: readonly T[]): T {
  return one as T;
}
