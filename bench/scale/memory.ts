/** How much memory Redis uses, in total and for each kind of key. */
import type { Redis } from 'ioredis';

/** Bytes used for data. Buffers of connections and of the append-only file come and go. */
export async function usedMemory(redis: Redis): Promise<number> {
  const info = await redis.info('memory');
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return field('used_memory') - field('mem_clients_normal') - field('mem_aof_buffer');
}

/** The keys of one kind, such as the groups' records. */
export interface KeyKind {
  readonly kind: string;
  readonly keys: number;
  readonly bytes: number;
}

/** Of a kind with more keys than this, one of `sampled` is measured. */
const measuredAll = 2_000;
const sampled = 50;

/** What `MEMORY USAGE` says, the largest kind first. */
export async function memoryByKind(redis: Redis, prefix: string): Promise<KeyKind[]> {
  const kinds = new Map<string, { keys: number; measured: number; bytes: number }>();
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 2_000 })) {
    const wanted = (keys as string[]).filter((key) => {
      const kind = kindOf(key, prefix);
      const seen = kinds.get(kind) ?? { keys: 0, measured: 0, bytes: 0 };
      kinds.set(kind, seen);
      seen.keys += 1;
      return seen.keys <= measuredAll || seen.keys % sampled === 0;
    });
    const sizes = await Promise.all(wanted.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)));
    for (const [i, key] of wanted.entries()) {
      const seen = kinds.get(kindOf(key, prefix));
      if (seen === undefined) continue;
      seen.measured += 1;
      seen.bytes += Number(sizes[i] ?? 0);
    }
  }
  return [...kinds]
    .map(([kind, { keys, measured, bytes }]) => ({ kind, keys, bytes: (bytes / measured) * keys }))
    .sort((a, b) => b.bytes - a.bytes);
}

/** The part of the key after the program's prefix; for BullMQ's own keys, the queue. */
function kindOf(key: string, prefix: string): string {
  const [first = '', second = ''] = key.slice(prefix.length + 1).split(':');
  return first === 'invite-rotator' ? second : `queue ${first}`;
}
