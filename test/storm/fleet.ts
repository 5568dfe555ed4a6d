/** The workers of a storm: real processes that are killed, frozen and stopped by real signals, and always replaced. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pause } from './history.ts';

export interface Fleet {
  /** Sends SIGKILL. A new worker replaces the killed one after a moment. */
  kill(index: number): void;
  /** Sends SIGSTOP, then SIGCONT after `ms`. Resolves after that. */
  freeze(index: number, ms: number): Promise<void>;
  /** Sends SIGTERM. A new worker replaces the stopped one, as in a rolling restart. */
  restart(index: number): void;
  /** Sends SIGHUP after an edit. A worker that is still starting reads the file anyway, and the signal would end it. */
  reload(index: number): void;
  /** Whether the worker has started and not ended. */
  isUp(index: number): boolean;
  /** The output of each worker. */
  readonly output: readonly (readonly string[])[];
  /** The pauses of instances that the workers logged. */
  readonly pauses: readonly Pause[];
  /** The addresses of the running workers' pages. */
  readonly urls: readonly string[];
  /** Sends SIGTERM to all. Returns one line for each worker that did not exit with 0 in time. */
  stop(): Promise<string[]>;
  /** Sends SIGKILL to all. */
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
  const signalled = new WeakSet<ChildProcess>();
  /** Sends SIGTERM once, since a second signal would end the worker at once. */
  const terminate = (worker: ChildProcess | undefined) => {
    if (worker === undefined || signalled.has(worker)) return;
    signalled.add(worker);
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
