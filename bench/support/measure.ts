/** Measures what a step costs: its time, and the Redis commands for it. */
import { readFileSync } from 'node:fs';
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

/** Processor time that a process has used, ms. Linux counts it in hundredths of a second. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of a process as Linux reports it, in units of 1,000,000 bytes. */
export function residentMb(pid: number): number {
  return (Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024) / 1e6;
}

/** A measured tick must have planned everything. */
export function fail(_instances: readonly string[], error: unknown): never {
  throw error;
}
