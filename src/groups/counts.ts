/** Counts and lists groups by state, from the indexes of `statusIndexes.ts`. Reads no record. */
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { type Segment, segmentsAt, timeOf } from './states.ts';
import { statusKeys } from './statusIndexes.ts';

const countLua = loadScript('count', import.meta.url);

/** The groups of an instance that are in one state. */
export interface Count extends Segment {
  readonly groups: number;
}

export interface InstanceCounts {
  readonly instance: string;
  readonly groups: number;
  /** Most urgent first, without those that have no group. */
  readonly counts: readonly Count[];
  /** Start of the oldest link that has a schedule. Null: there is none. */
  readonly oldestLinkAt: number | null;
  /** Highest age of a link, in periods of its group: exact above two periods for the links first to get that old. */
  readonly oldestPeriods: number;
}

/** Instances counted by one script, so that it blocks Redis for a moment only. */
const atOnce = 50;

export async function countGroups(
  { redis, keys }: Database,
  instances: readonly string[],
  nowMs: number,
): Promise<InstanceCounts[]> {
  const segments = segmentsAt(nowMs);
  // The script stops once it has counted every group, and most groups are in the last states.
  const ranges = segments.toReversed().flatMap(({ min, max }) => [String(min), String(max)]);
  const all: InstanceCounts[] = [];
  for (let from = 0; from < instances.length; from += atOnce) {
    const some = instances.slice(from, from + atOnce);
    const names = some.flatMap((instance) => statusKeys(keys, instance));
    const replies = (await runScript(redis, countLua, names, [nowMs, ...ranges])) as [
      number,
      string,
      string,
      ...number[],
    ][];
    for (const [i, [groups, oldest, ratio, ...counted]] of replies.entries()) {
      const counts: Count[] = [];
      for (let at = 0; at < counted.length; at += 2) {
        const segment = segments[segments.length - (counted[at] ?? 0)];
        if (segment !== undefined) counts.unshift({ ...segment, groups: counted[at + 1] ?? 0 });
      }
      const oldestLinkAt = oldest === '' ? null : Number(oldest);
      all.push({ instance: some[i] ?? '', groups, counts, oldestLinkAt, oldestPeriods: Number(ratio) });
    }
  }
  return all;
}

/** Record ids of a segment, the most urgent first. */
export async function listSegment(
  { redis, keys }: Database,
  instance: string,
  { min, max }: Segment,
  { skip, limit }: { readonly skip: number; readonly limit: number },
): Promise<string[]> {
  return await redis.zrangebyscore(keys.states(instance), min, max, 'LIMIT', skip, limit);
}

/** The time of the first group of a segment: since when the longest-lasting has been in its state. Null: it is empty. */
export async function firstTime({ redis, keys }: Database, instance: string, { min, max }: Segment) {
  const [, score] = await redis.zrangebyscore(keys.states(instance), min, max, 'WITHSCORES', 'LIMIT', 0, 1);
  return score === undefined ? null : timeOf(Number(score));
}
