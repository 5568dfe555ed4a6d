/** Collects what a change has read and what it writes, and saves it in one atomic step (`save.lua`). */
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const saveLua = loadScript('save', import.meta.url);

export interface Save {
  /** What a hash field held when it was read; '': nothing. The writes happen only if it still does. */
  check(key: string, field: string, seen: string): void;
  /** A command whose first argument is its key. */
  write(command: string, key: string, ...args: string[]): void;
  /** false: something that was read has changed, so nothing was written. */
  run(redis: RedisClient): Promise<boolean>;
}

export function createSave(): Save {
  const numbers = new Map<string, number>();
  const checks: (string | number)[][] = [];
  const writes: (string | number)[][] = [];

  function numberOf(key: string): number {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, numbers.size + 1);
    return numbers.size;
  }

  return {
    check: (key, field, seen) => void checks.push([numberOf(key), field, seen]),
    write: (command, key, ...args) => void writes.push([command, numberOf(key), ...args]),
    async run(redis) {
      if (writes.length === 0) return true;
      const saved = await runScript(
        redis,
        saveLua,
        [...numbers.keys()],
        [JSON.stringify(checks), JSON.stringify(writes)],
      );
      return saved === 1;
    },
  };
}
