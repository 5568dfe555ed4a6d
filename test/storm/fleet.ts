/** The workers of a storm: real processes, killed, frozen and stopped by real signals, and always replaced. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pause } from './history.ts';

export interface Fleet {
  /** SIGKILL, and another takes its place after a moment. */
  kill(index: number): void;
  /** SIGSTOP, and SIGCONT after that time, which resolves it. */
  freeze(index: number, ms: number): Promise<void>;
  /** SIGTERM, and another takes its place, as in a rolling restart. */
  restart(index: number): void;
  /** SIGHUP: the file was edited. One that is still starting reads it anyway, and would be ended by the signal. */
  reload(index: number): void;
  /** Whether it has started, and not ended yet. */
  isUp(index: number): boolean;
  /** All that they wrote, by worker. */
  readonly output: readonly (readonly string[])[];
  /** What they logged of pauses of their instances. */
  readonly pauses: readonly Pause[];
  /** Where those that run show their pages. */
  readonly urls: readonly string[];
  /** SIGTERM to all; tells, in words, of each that did not end with 0 in time. */
  stop(): Promise<string[]>;
  /** SIGKILL to all. */
  destroy(): void;
}

export interface FleetOptions {
  readonly cli: string;
  readonly size: number;
  readonly envOf: (index: number) => Readonly<Record<string, string>>;
}

function pauseOf({
  time,
  opensInMs,
  ...pause
}: Omit<Pause, 'from' | 'to'> & { time: string; opensInMs: number }): Pause {
  const from = Date.parse(time);
  return { ...pause, from, to: from + opensInMs };
}

const replaceAfterMs = 500;

export function startFleet({ cli, size, envOf }: FleetOptions): Fleet {
  const output: string[][] = Array.from({ length: size }, () => []);
  const workers: ChildProcess[] = [];
  const pauses: Pause[] = [];
  const urls = new Map<ChildProcess, string>();
  let stopping = false;
  const told = new WeakSet<ChildProcess>();
  /** A second signal would end it at once. */
  const terminate = (worker: ChildProcess | undefined) => {
    if (worker === undefined || told.has(worker)) return;
    told.add(worker);
    worker.kill('SIGTERM');
  };

  function start(index: number): void {
    const child = spawn(process.execPath, [cli, 'start'], {
      env: { PATH: process.env.PATH ?? '', ...envOf(index) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output[index]?.push(String(chunk)));
    createInterface(child.stdout).on('line', (line) => {
      if (line.includes('"ops.listening"')) urls.set(child, JSON.parse(line).url);
      if (line.includes('"gate.closed"')) pauses.push(pauseOf(JSON.parse(line)));
    });
    child.once('exit', () => {
      urls.delete(child);
      if (!stopping) setTimeout(() => !stopping && start(index), replaceAfterMs);
    });
    workers[index] = child;
  }
  const isUp = (index: number) => urls.has(workers[index] as ChildProcess);
  for (let i = 0; i < size; i++) start(i);
  const destroy = () => {
    stopping = true;
    for (const worker of workers) worker.kill('SIGKILL');
  };
  process.once('exit', destroy);

  return {
    output,
    pauses,
    get urls() {
      return [...urls.values()];
    },
    kill: (index) => void workers[index]?.kill('SIGKILL'),
    async freeze(index, ms) {
      const worker = workers[index];
      worker?.kill('SIGSTOP');
      await sleep(ms);
      worker?.kill('SIGCONT');
    },
    restart: (index) => terminate(workers[index]),
    reload(index) {
      if (isUp(index)) workers[index]?.kill('SIGHUP');
    },
    isUp,
    async stop() {
      stopping = true;
      const wrong = await Promise.all(
        workers.map(async (worker) => {
          if (worker.exitCode !== null || worker.signalCode !== null) return [];
          const exit = once(worker, 'exit');
          terminate(worker);
          const [code, signal] = (await Promise.race([exit, sleep(20_000, ['late', null])])) as [unknown, unknown];
          return code === 0 ? [] : [`pid ${worker.pid} ended with ${code ?? signal}`];
        }),
      );
      return wrong.flat();
    },
    destroy,
  };
}
