/** A question on the terminal before something that cannot be undone. */
import { createInterface } from 'node:readline/promises';
import { Interrupted } from './output.ts';

export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Where people are asked: standard output is for data. */
export const terminal: Terminal = { input: process.stdin, output: process.stderr };

export function isInteractive({ input, output }: Terminal): boolean {
  return input.isTTY === true && output.isTTY === true;
}

/**
 * Whether the answer is yes; the end of the input is a no. Rejects with an `Interrupted` at Ctrl-C, or with the signal's
 * reason. The terminal is left as it was found.
 */
export async function confirm(question: string, { input, output }: Terminal, signal: AbortSignal): Promise<boolean> {
  const prompt = createInterface({ input, output, terminal: true });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      prompt.on('SIGINT', () => reject(new Interrupted('SIGINT')));
      prompt.on('close', () => resolve(false));
      // With its signal, the question would reject by its own error.
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      prompt.question(`${question} [y/N] `).then((answer) => resolve(/^y(es)?$/i.test(answer.trim())), reject);
    });
  } catch (error) {
    output.write('\n');
    throw error;
  } finally {
    prompt.close();
  }
}
