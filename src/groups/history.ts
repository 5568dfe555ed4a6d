/**
 * Reads the history of a group's link, and finds the group that has or had a link. Both read what `store.ts` has written
 * in the same step as the link.
 */
import { type Database, redisTime } from '../redis/database.ts';
import { newRecord } from './record.ts';
import {
  parseHistory,
  type Replacement,
  type Revision,
  rememberedMs,
  replacementOf,
  revisionsOf,
} from './revisions.ts';
import { createGroupStore, type GroupStore, parseRecord, RecordError, readable } from './store.ts';

export type { Replacement, Revision } from './revisions.ts';

/** The group that a link belongs to. */
export interface FoundLink {
  readonly recordId: string;
  /** Null: the link is not known to have been replaced. */
  readonly replaced: Replacement | null;
}

/** The revisions of a group's link, newest first. Rejects with a `RecordError` if the record cannot be read. */
export async function readHistory(db: Database, recordId: string): Promise<readonly Revision[]> {
  return (await read(db, recordId)).revisions;
}

/** Finds the group that has this invite code now, or that had it. Null if no group is known to. */
export async function findLink(db: Database, code: string): Promise<FoundLink | null> {
  const recordId = await createGroupStore(db).linkedRecord(code);
  if (recordId === null) return null;
  const { record, revisions } = await read(db, recordId);
  return record === null ? null : { recordId, replaced: replacementOf(record, revisions, code) };
}

async function read(db: Database, recordId: string) {
  const { redis, keys } = db;
  const key = keys.group(recordId);
  const [[json, history], nowMs] = await Promise.all([redis.hmget(key, 'record', 'history'), redisTime(db)]);
  const record = json ? parseRecord(recordId, key, json) : null;
  return { record, revisions: revisionsOf(parseHistory(history), record ?? newRecord, nowMs) };
}

/** Groups read at the same time. */
const chunk = 250;

/**
 * Makes the links findable that versions without an index have stored. Does nothing once that has been done. What such
 * a version stores later is added with the group's next link.
 */
export async function indexLinks({ redis, keys }: Database, store: GroupStore): Promise<void> {
  if ((await redis.exists(keys.linksIndexed)) === 1) return;
  const known = [...(await store.registrations()).values()].filter((one) => one !== null);
  const recordIds = [...new Set(known.map(({ recordId }) => recordId))];
  for (let from = 0; from < recordIds.length; from += chunk) {
    await Promise.all(
      recordIds.slice(from, from + chunk).map(async (recordId) => {
        const loaded = await readable(store.load(recordId));
        if (loaded instanceof RecordError) return;
        const { record } = loaded;
        // NX: a commit that comes meanwhile knows better.
        if (record.link !== null) await redis.set(keys.link(record.link.code), recordId, 'NX');
        for (const code of record.replacedCodes) {
          await redis.set(keys.link(code), recordId, 'PX', rememberedMs, 'NX');
        }
      }),
    );
  }
  await redis.set(keys.linksIndexed, 1);
}
