/**
 * How commands write and end. Output is complete before the process ends, in every kind of pipe and however slowly it is
 * read. A closed pipe ends a command quietly, because its reader has seen enough; any other failure to write is an error.
 */
import { getSystemErrorMap } from 'node:util';
import { isFile, writeFully } from '../log.ts';

/** Standard output cannot be written. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
  /** The reader of the pipe, such as `head`, has closed it. */
  readonly isClosed: boolean;

  constructor(error: Error) {
    const { code, errno, message } = error as NodeJS.ErrnoException;
    const [, why = message] = getSystemErrorMap().get(errno ?? 0) ?? [];
    super(`cannot write to standard output: ${why}`);
    this.isClosed = code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
  }
}

/** Writes to standard output. Resolves when the text is written, and rejects with an `OutputError`. */
export async function print(text: string): Promise<void> {
  const { stdout } = process;
  try {
    // Node.js ignores that a full disk has taken only a part.
    if (isFile(stdout)) writeFully(stdout.fd, text);
    else await new Promise<void>((done, fail) => stdout.write(text, (error) => (error ? fail(error) : done())));
  } catch (error) {
    throw new OutputError(error as NodeJS.ErrnoException);
  }
}

/** Exit codes of commands that a signal ends, as shells report them. */
export const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const;
export type StopSignal = keyof typeof signalCodes;

/** A signal ended a command while it waited. The message says what became of its work. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly signal: StopSignal;

  constructor(signal: StopSignal, message = 'nothing was done') {
    super(message);
    this.signal = signal;
  }
}

/** Long enough for a reader that reads. One that does not must not keep a process that was told to end. */
const signalDrainMs = 1_000;

/** From now on, SIGINT and SIGTERM end the process, unless the command asks for the signals itself (`stopSignal`). */
export function endAtSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, endBySignal);
}

/** Undoes `endAtSignals`. */
export function ignoreSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, endBySignal);
}

function endBySignal(signal: NodeJS.Signals): void {
  void endSoon(signalCodes[signal as StopSignal]);
}

/** Ends the process when all output is written. From now on, a signal ends it at once. */
export async function end(code: number): Promise<never> {
  const drained = Promise.all([drain(process.stdout), drain(process.stderr)]);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeAllListeners(signal);
  const [failure] = await drained;
  const error = failure === null ? null : new OutputError(failure);
  if (error === null || error.isClosed) process.exit(code);
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

/** Ends the process when all output is written, or in a second. */
export async function endSoon(code: number): Promise<never> {
  const drained = Promise.all([drain(process.stdout), drain(process.stderr)]);
  await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, signalDrainMs))]);
  process.exit(code);
}

/** Resolves when everything is written, or with the error. */
function drain(stream: NodeJS.WriteStream): Promise<Error | null> {
  if (stream.writableLength === 0 || !stream.writable) return Promise.resolve(stream.errored);
  return new Promise((resolve) => {
    stream.once('error', resolve);
    stream.once('close', () => resolve(null));
    stream.write('', (error) => resolve(error ?? null));
  });
}
