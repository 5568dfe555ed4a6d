/** Reads records at the head of an index, and holds them back there while their jobs are queued. */
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const holdLua = loadScript('hold', import.meta.url);

/** A record in an index. */
export interface Head {
  readonly recordId: string;
  /** The time that it was read with. */
  readonly score: number;
}

/** The first `count` records that are due by now, most overdue first, after leaving out `skip`. */
export async function readHead(
  redis: RedisClient,
  key: string,
  nowMs: number,
  { count, skip = 0 }: { readonly count: number; readonly skip?: number },
): Promise<Head[]> {
  const flat = await redis.zrangebyscore(key, '-inf', nowMs, 'WITHSCORES', 'LIMIT', skip, count);
  return Array.from({ length: flat.length / 2 }, (_, i) => {
    return { recordId: flat[2 * i] ?? '', score: Number(flat[2 * i + 1]) };
  });
}

/** It is held only if nobody has moved it since it was read. */
export interface Held extends Head {
  /** When it is looked at again; null: it does not belong into this index. */
  readonly untilMs: number | null;
}

/** Returns those that were held; the others had been moved, so somebody else looks after them. */
export async function hold(redis: RedisClient, key: string, held: readonly Held[]): Promise<ReadonlySet<string>> {
  if (held.length === 0) return new Set();
  const args = held.flatMap(({ recordId, score, untilMs }) => [recordId, score, untilMs ?? '']);
  return new Set((await runScript(redis, holdLua, [key], args)) as string[]);
}
