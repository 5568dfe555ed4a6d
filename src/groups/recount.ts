/**
 * Compares the indexes of the status with the records, page by page, and corrects them: entries that are missing (older
 * versions write none), wrong or left over. One worker at a time does it, and goes on where the last one stopped; if
 * two do, each correction still holds only while the record is the one that was read.
 */
import { setImmediate } from 'node:timers/promises';
import type { Database } from '../redis/database.ts';
import { directAccess, type Write } from './access.ts';
import { parseRegistration, type Registration } from './record.ts';
import { unreadableScore } from './states.ts';
import { statusKeys, statusScores } from './statusIndexes.ts';
import { parseRecord, scripts } from './store.ts';

/** Records read at once. */
const pageSize = 100;
/** How often a worker goes on. */
export const recountEveryMs = 30_000;
/** Steps in which all registrations are read, and as many in which all members are; fewer if there are fewer pages. */
const steps = 20;
/** Longer than a page takes. */
const leaseMs = 10_000;

/** A part of a recount: the registrations first, then the members of each instance's indexes. */
interface Place {
  /** Null: the registrations. */
  readonly instance: string | null;
  /** Of `HSCAN` or `ZSCAN`. */
  readonly cursor: string;
}

const start: Place = { instance: null, cursor: '0' };

/** Recounts a part, or everything if that was never finished, until the signal. Returns how many entries were corrected. */
export async function recount(db: Database, signal?: AbortSignal): Promise<number> {
  const { redis, keys } = db;
  if ((await redis.set(keys.recounting, '1', 'PX', leaseMs, 'NX')) === null) return 0;
  try {
    const isFirst = (await redis.exists(keys.statesIndexed)) === 0;
    let place = isFirst ? start : parsePlace(await redis.get(keys.recount));
    const instances = (await redis.zrange(keys.instances, '0', '-1')).sort();
    // Each instance may end with a page that is not full.
    const pages = Math.ceil(((await redis.hlen(keys.registered)) / pageSize + instances.length) / steps);
    let corrected = 0;
    for (let i = 0; (isFirst || i < pages) && !signal?.aborted; i++) {
      const page = await recountPage(db, instances, place);
      corrected += page.corrected;
      place = page.next;
      await redis.multi().set(keys.recount, JSON.stringify(place)).pexpire(keys.recounting, leaseMs).exec();
      if (place === start) {
        await redis.set(keys.statesIndexed, '1');
        break;
      }
      await setImmediate();
    }
    return corrected;
  } finally {
    await redis.del(keys.recounting);
  }
}

function parsePlace(json: string | null): Place {
  try {
    return { ...start, ...(JSON.parse(json ?? '{}') as Partial<Place>) };
  } catch {
    return start;
  }
}

async function recountPage(db: Database, instances: readonly string[], { instance, cursor }: Place) {
  const [next, corrected] =
    instance === null ? await recountRegistered(db, cursor) : await recountMembers(db, instance, cursor);
  if (next !== '0') return { corrected, next: { instance, cursor: next } };
  const following = instances.find((one) => instance === null || one > instance);
  return { corrected, next: following === undefined ? start : { instance: following, cursor: '0' } };
}

async function recountRegistered(db: Database, cursor: string): Promise<[next: string, corrected: number]> {
  const [next, found] = await db.redis.hscan(db.keys.registered, cursor, 'COUNT', pageSize);
  const known: Registration[] = [];
  for (let i = 1; i < found.length; i += 2) {
    const registration = parseRegistration(found[i]);
    if (registration?.removedAt === null) known.push(registration);
  }
  return [
    next,
    await correct(
      db,
      known.map(({ recordId, entry }) => [recordId, entry.instance]),
    ),
  ];
}

/** Looks for members that do not belong to the instance. */
async function recountMembers(db: Database, instance: string, cursor: string): Promise<[string, number]> {
  const { redis, keys } = db;
  const [next, found] = await redis.zscan(keys.states(instance), cursor, 'COUNT', pageSize);
  const members = new Set(found.filter((_, i) => i % 2 === 0));
  if (next === '0') for (const id of await strayLinks(db, instance)) members.add(id);
  return [
    next,
    await correct(
      db,
      [...members].map((id) => [id, instance]),
    ),
  ];
}

/** Members of the instance's other indexes that its states lack. */
async function strayLinks({ redis, keys }: Database, instance: string): Promise<string[]> {
  const [states, ...others] = statusKeys(keys, instance);
  const strays: string[] = [];
  for (const index of others) {
    let cursor = '0';
    do {
      const [next, found] = await redis.zscan(index, cursor, 'COUNT', pageSize);
      const ids = found.filter((_, i) => i % 2 === 0);
      const scores = ids.length === 0 ? [] : await redis.zmscore(states ?? '', ...ids);
      strays.push(...ids.filter((_, i) => scores[i] == null));
      cursor = next;
    } while (cursor !== '0');
  }
  return strays;
}

/** Record ids, each with an instance in whose indexes it is or should be. Returns how many entries were corrected. */
async function correct(db: Database, pairs: readonly (readonly [recordId: string, instance: string])[]) {
  let corrected = 0;
  for (let from = 0; from < pairs.length; from += pageSize) {
    const some = await Promise.all(pairs.slice(from, from + pageSize).map((pair) => correctOne(db, ...pair)));
    corrected += some.reduce((sum, one) => sum + one, 0);
    await setImmediate();
  }
  return corrected;
}

async function correctOne(db: Database, recordId: string, instance: string): Promise<number> {
  const { redis, keys } = db;
  const key = keys.group(recordId);
  const [version = null, json = null] = await redis.hmget(key, 'version', 'record');
  const expected = expectedScores(db, recordId, { json, instance });
  const indexes = [...new Set([...expected.keys(), ...statusKeys(keys, instance)])];
  const actual = await Promise.all(indexes.map((index) => redis.zscore(index, recordId)));
  const writes = indexes.flatMap((index, i): Write[] => {
    const score = expected.get(index);
    if (score === undefined) return actual[i] == null ? [] : [['ZREM', index, recordId]];
    return Number(actual[i] ?? Number.NaN) === score ? [] : [['ZADD', index, String(score), recordId]];
  });
  const isSaved = await directAccess(db, scripts).save({ checks: [[key, 'version', version ?? '']], writes });
  return isSaved ? writes.length : 0;
}

function expectedScores(
  { keys }: Database,
  recordId: string,
  { json, instance }: { readonly json: string | null; readonly instance: string },
): ReadonlyMap<string, number> {
  if (json === null) return new Map();
  try {
    return statusScores(parseRecord(recordId, keys.group(recordId), json), keys);
  } catch {
    return new Map([[keys.states(instance), unreadableScore]]);
  }
}
