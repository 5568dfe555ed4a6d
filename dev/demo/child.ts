/** Runs the program's own command line as a child of the demo, and hands its output over line by line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));

export interface Child {
  /** Resolves with the exit code; -1 when a signal ended it. */
  readonly ended: Promise<number>;
  /** SIGTERM: the child finishes what it is doing. */
  stop(): Promise<number>;
}

/** In a process group of its own: a Ctrl-C reaches the demo, which ends its children in the right order. */
export function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onLine: (line: string, stream: 'stdout' | 'stderr') => void,
): Child {
  const child: ChildProcess = spawn(process.execPath, [cli, ...args], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of ['stdout', 'stderr'] as const) {
    const pipe = child[stream];
    if (pipe !== null) createInterface({ input: pipe }).on('line', (line) => onLine(line, stream));
  }
  const ended = new Promise<number>((resolve) => {
    child.on('error', () => resolve(-1));
    child.on('close', (code) => resolve(code ?? -1));
  });
  return {
    ended,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}
