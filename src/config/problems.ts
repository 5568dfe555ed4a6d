/** What is wrong with a configuration file, in words, where it stands. */

export type Path = readonly (string | number)[];

/** A problem before its place in the file is known. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The path ends in a key that should not be there: point at the key, not at its value. */
  readonly atKey?: boolean;
}

export type Report = (path: Path, message: string, atKey?: boolean) => void;

export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `groups[2].every`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `file:line:column path: message`, as in the contract. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

export function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? short(part) : `${text}.${short(part)}`;
  }, '');
}

/** A piece of the file, as much of it as a message needs. Links are secret, also where they do not belong. */
export function short(text: string): string {
  if (/chat\.whatsapp\.com/i.test(text)) return 'a link';
  const line = text.replace(/\s+/g, ' ');
  return line.length > 40 ? `${line.slice(0, 40)}…` : line;
}
