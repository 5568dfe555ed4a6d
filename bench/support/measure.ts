/** Measures what a step costs: its time, and the Redis commands for it. */
import type { Redis } from 'ioredis';

export async function timed<T>(run: () => Promise<T> | T): Promise<readonly [number, T]> {
  const from = performance.now();
  const result = await run();
  return [performance.now() - from, result];
}

/** Commands that Redis ran meanwhile, with those inside scripts. */
export async function counted<T>(redis: Redis, run: () => Promise<T>): Promise<readonly [number, T]> {
  const total = async () => Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
  const before = await total();
  const result = await run();
  return [(await total()) - before - 1, result];
}

/** The median of many runs. `prepare` is not measured. */
export async function repeated(
  redis: Redis,
  runs: number,
  run: () => Promise<unknown>,
  prepare: () => Promise<void> = async () => {},
): Promise<{ readonly ms: number; readonly commands: number }> {
  const times: number[] = [];
  let commands = 0;
  for (let i = 0; i < runs; i++) {
    await prepare();
    const [used, [ms]] = await counted(redis, () => timed(run));
    times.push(ms);
    commands = Math.max(commands, used);
  }
  return { ms: times.sort((a, b) => a - b)[Math.floor(runs / 2)] ?? 0, commands };
}
