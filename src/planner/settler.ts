/**
 * Settles what a crash or a lost answer left: attempts whose lease has expired, and groups that are uncertain. Works from
 * an index that is written in the same step as the records, so it depends on no job, no scheduler and no process that
 * began the call, and it does not matter what has become of the group's entry in the file meanwhile.
 */
import type { Queue } from 'bullmq';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { groupBy } from './groupBy.ts';
import { type Held, hold, readHead } from './hold.ts';
import { type Read, releaseReads } from './release.ts';

/** How often each worker looks. */
export const settleEveryMs = 1_000;
/** A record is looked at again after this time, in case its job was lost. */
const holdMs = 5_000;
/** The same where the record cannot be read. */
const unreadableMs = 60_000;
/** Records at a time: more than workers have calls in flight. */
const headSize = 200;
const maxPages = 20;

export interface SettlerDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  /** The queue of an instance that this worker serves; null: it serves no such instance. */
  readonly queueOf: (instance: string) => Queue | null;
}

/** Queues a read for whatever is to be settled by now; returns how many. */
export async function settle(deps: SettlerDependencies): Promise<number> {
  const nowMs = await redisTime(deps.redis, deps.keys);
  let released = 0;
  // What other workers serve stays where it is, and must not hide what lies behind it.
  for (let page = 0, from = 0; page < maxPages; page++) {
    const settled = await settlePage(deps, nowMs, from);
    released += settled.released;
    from += settled.left;
    if (settled.seen < headSize) break;
  }
  return released;
}

async function settlePage({ redis, keys, store, queueOf }: SettlerDependencies, nowMs: number, from: number) {
  const heads = await readHead(redis, keys.unsettled, nowMs, { count: headSize, skip: from });
  const loaded = await Promise.all(heads.map(({ recordId }) => readable(store.load(recordId))));
  const held: Held[] = [];
  const found: (Read & { readonly queue: Queue })[] = [];
  for (const [i, head] of heads.entries()) {
    const one = loaded[i];
    const entry = one === undefined || one instanceof RecordError ? null : one.record.entry;
    if (one instanceof RecordError) held.push({ ...head, untilMs: nowMs + unreadableMs });
    else if (entry === null) held.push({ ...head, untilMs: null });
    else {
      // One that this worker does not serve is left to those that do.
      const queue = queueOf(entry.instance);
      if (queue === null) continue;
      held.push({ ...head, untilMs: nowMs + holdMs });
      found.push({ queue, recordId: head.recordId, group: entry.group, attempts: one?.record.attempts });
    }
  }
  // Of several workers that look at once, the one that holds a record back queues its read.
  const isHeld = await hold(redis, keys.unsettled, held);
  const mine = found.filter(({ recordId }) => isHeld.has(recordId));
  for (const [queue, reads] of groupBy(mine, (read) => read.queue)) await releaseReads(queue, 'unsettled', reads);
  return { seen: heads.length, left: heads.length - held.length, released: mine.length };
}
