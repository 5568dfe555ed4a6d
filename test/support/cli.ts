/** The built program as its users run it: a process of its own, with real signals and a real exit code. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { until } from './until.ts';

export const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export interface Run {
  readonly child: ChildProcess;
  stdout: string;
  stderr: string;
  /** The exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Lines of stdout that are JSON, parsed. */
  json(): { readonly [field: string]: unknown }[];
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** The destination of its output, instead of a pipe. */
  readonly stdout?: number;
  /** Default: nothing to read. */
  readonly stdin?: 'ignore' | 'pipe';
}

export function run(args: readonly string[], options: RunOptions = {}): Run {
  return runNode([cli, ...args], options);
}

/** A program that uses the built library, as an ES module. It finds the packages of this repository. */
export function runProgram(code: string, options: RunOptions = {}): Run {
  const cwd = fileURLToPath(new URL('../../', import.meta.url));
  return runNode(['--input-type=module', '--eval', code], { cwd, ...options });
}

function runNode(args: readonly string[], { env = {}, cwd, stdout, stdin = 'ignore' }: RunOptions): Run {
  const { REDIS_URL: _, ROTATOR_CONFIG: __, ...inherited } = process.env;
  const child = spawn(process.execPath, args, {
    env: { ...inherited, LOG_LEVEL: 'info', ...env },
    stdio: [stdin, stdout ?? 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const started: Run = {
    child,
    stdout: '',
    stderr: '',
    ended: new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal))),
    json: () => started.stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : [])),
  };
  child.stdout?.on('data', (chunk) => {
    started.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    started.stderr += chunk;
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await started.ended;
  });
  return started;
}

/** Resolves when the worker has logged an event of that name. */
export async function logged(worker: Run, event: string): Promise<{ readonly [field: string]: unknown }> {
  return await until(
    () => `the worker to log ${event}; it wrote:\n${worker.stdout}${worker.stderr}`,
    () => worker.json().find((line) => line.event === event),
  );
}
