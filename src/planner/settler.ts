/**
 * Settles what a crash or a lost answer left behind: attempts whose lease has expired, and groups that are uncertain.
 * Reads an index that is written in the same step as the records. So it depends on no job, on no scheduler and not on
 * the process that began the call. It works even if the group's entry was edited or removed.
 */

import type { Queue } from 'bullmq';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { linkReadJob, type PlannerJob, type Postponed, postpone, readHead, release } from './jobs.ts';

/** How often each worker looks. */
export const settleEveryMs = 1_000;
/** A record is looked at again after this time, in case its job was lost. */
const retryMs = 5_000;
/** The same for a record that cannot be read. */
const unreadableMs = 60_000;
/** Records per page: more than workers have calls in flight. */
const pageSize = 200;
const maxPages = 20;

export interface SettlerDependencies extends Database {
  readonly store: GroupStore;
  /** Whether this worker serves the instance. */
  readonly serves: (instance: string) => boolean;
  readonly queueOf: (instance: string) => Queue;
}

/** Queues a read for each group that is to be settled by now. Returns how many. */
export async function settle(deps: SettlerDependencies): Promise<number> {
  const nowMs = await redisTime(deps);
  let released = 0;
  // Records that other workers serve stay where they are, and must not hide those behind them.
  for (let page = 0, skip = 0; page < maxPages; page++) {
    const settled = await settlePage(deps, nowMs, skip);
    released += settled.released;
    skip += settled.skipped;
    if (settled.seen < pageSize) break;
  }
  return released;
}

async function settlePage({ redis, keys, store, serves, queueOf }: SettlerDependencies, nowMs: number, skip: number) {
  const heads = await readHead(redis, { key: keys.unsettled, first: null }, nowMs, { count: pageSize, skip });
  const postponed: Postponed[] = [];
  const reads = new Map<string, PlannerJob>();
  await Promise.all(
    heads.map(async (head) => {
      const { recordId } = head;
      const loaded = await readable(store.load(recordId));
      if (loaded instanceof RecordError) {
        postponed.push({ ...head, untilMs: nowMs + unreadableMs });
        return;
      }
      const { entry, attempts } = loaded.record;
      if (entry === null) postponed.push({ ...head, untilMs: null });
      else if (serves(entry.instance)) {
        postponed.push({ ...head, untilMs: nowMs + retryMs });
        reads.set(recordId, linkReadJob('unsettled', { ...entry, recordId }, attempts));
      }
    }),
  );
  // If several workers look at once, the one that postpones a record queues its read.
  const isMine = await postpone(redis, postponed);
  const mine = [...reads].filter(([recordId]) => isMine.has(recordId)).map(([, job]) => job);
  // Each goes to the front of its queue, so the most overdue one is released last.
  await release(queueOf, mine.reverse());
  return { seen: heads.length, skipped: heads.length - postponed.length, released: mine.length };
}
