/** Holds records back in an index while their jobs are queued. */
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const holdLua = loadScript('hold', import.meta.url);

export interface Held {
  readonly recordId: string;
  /** The time that it was read with: it is held only if nobody has moved it since. */
  readonly score: number;
  /** When it is looked at again; null: it does not belong into this index. */
  readonly untilMs: number | null;
}

/** Returns those that were held; the others had been moved, so somebody else looks after them. */
export async function hold(redis: RedisClient, key: string, held: readonly Held[]): Promise<ReadonlySet<string>> {
  if (held.length === 0) return new Set();
  const args = held.flatMap(({ recordId, score, untilMs }) => [recordId, score, untilMs ?? '']);
  return new Set((await runScript(redis, holdLua, [key], args)) as string[]);
}
