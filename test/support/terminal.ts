/** The built program on a terminal of its own, which `script` of util-linux opens. */
import { spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { cli } from './cli.ts';

export const ctrlC = '\x03';

export interface TerminalRun {
  /** What the terminal has shown, with its control sequences. */
  readonly shown: () => string;
  type(keys: string): void;
  /** The exit code. */
  readonly ended: Promise<number | null>;
}

/** `args` must need no quotes. */
export function onTerminal(args: string, env: Record<string, string>, columns = 80): TerminalRun {
  const command = `stty cols ${columns} rows 24; exec ${process.execPath} ${cli} ${args}`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: { ...process.env, ...env, TERM: 'xterm', SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  onTestFinished(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
  });
  return { shown: () => text, type: (keys) => child.stdin.write(keys), ended };
}
