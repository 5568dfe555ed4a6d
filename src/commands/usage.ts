/** How a command is called, and its failure. Loads nothing: the command line uses it before it loads a command. */
import { resolve } from 'node:path';

/** A failure whose message is printed without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export const defaultConfigFile = 'config/rotation.yaml';

export function configFile(options: CommonOptions): string {
  return resolve(options.config ?? (process.env.ROTATOR_CONFIG || defaultConfigFile));
}
