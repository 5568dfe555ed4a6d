/** Runs the program's command line as a child process of the demo and reports its output line by line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));

export interface Child {
  /** Resolves with the exit code, or with -1 if a signal ended the process. */
  readonly ended: Promise<number>;
  /** Sends SIGTERM, on which the child finishes its work in progress. Resolves like `ended`. */
  stop(): Promise<number>;
}

/** The child gets its own process group, so Ctrl-C reaches only the demo, which stops its children in the right order. */
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
