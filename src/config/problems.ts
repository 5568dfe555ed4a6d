/**
 * What is wrong with a configuration file: zod's issues as problems, each with its place in the file, what was found
 * and what is expected. A value is quoted only where it helps, in part, and never if it could be a link.
 */
import type { z } from 'zod';
import { didYouMean } from './nearMiss.ts';

export type Path = readonly (string | number)[];

/** A problem before its line is known. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly isKey: boolean;
}

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

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `file:line:column path: message`, as in the contract. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`;
}

export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? truncate(part) : `${text}.${truncate(part)}`;
  }, '');
}

/** Unknown keys become one finding each. */
export function findingsOf(issues: readonly z.core.$ZodIssue[], at: Path = []): Finding[] {
  return issues.flatMap((issue) => {
    const path = [...at, ...(issue.path as Path)];
    if (issue.code === 'unrecognized_keys') {
      const messages = issue.message.split('\n');
      return issue.keys.map((key, index) => ({ path: [...path, key], message: messages[index] ?? '', isKey: true }));
    }
    if (issue.code === 'invalid_union' && typeof issue.input === 'object') {
      const inner = issue.errors.at(-1) ?? [];
      // The file has a map or a list, so the problems with that are more helpful than those with a text.
      const isOfKind = !Array.isArray(issue.input) || inner.every(({ code }) => code !== 'invalid_type');
      if (isOfKind) return findingsOf(inner, path);
    }
    const isMissing = issue.code !== 'custom' && issue.input === undefined;
    return [{ path, message: isMissing ? 'is required' : issue.message, isKey: false }];
  });
}

const nouns: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
};

/** The message of an issue whose schema has none of its own. */
export function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  const { code, input, path = [] } = issue;
  if (code === 'invalid_value') {
    const allowed = issue.values.map(String);
    const hint = typeof input === 'string' ? didYouMean(input, allowed) : '';
    return `expected ${allowed.join(', ')}; found ${describeValue(input)}${hint}`;
  }
  if (code !== 'invalid_type') return undefined;
  const noun = path.length === 0 ? 'a map of settings' : (nouns[issue.expected] ?? issue.expected);
  // An entry of a list may be an invite code or a token without its key.
  const isQuoted = issue.expected !== 'object' || typeof path.at(-1) === 'string';
  return `expected ${noun}, found ${describeValue(input, isQuoted)}`;
}

/** What the file has in place of a value; with `isQuoted`, the beginning of a text. */
export function describeValue(value: unknown, isQuoted = true): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value !== 'string') return isQuoted ? String(value) : `a ${typeof value}`;
  if (value === '') return 'empty text';
  return isQuoted ? `"${truncate(value)}"` : 'text';
}

export function unknownKeyMessage(
  key: string,
  known: readonly string[],
  hints: Readonly<Record<string, string>>,
): string {
  if (key === '<<') return 'merging maps with "<<" is not supported: use "defaults"';
  const hint = Object.entries(hints).find(([name]) => name === key.toLowerCase());
  return hint?.[1] ?? `unknown key "${truncate(key)}"${didYouMean(key, known)}`;
}

/** The first of these names. */
export function formatNames(names: readonly string[], max: number): string {
  return names.slice(0, max).join(', ') + (names.length > max ? ', …' : '');
}

/** `a, b and 3 more`. `count`: of all, if these names are only the first. */
export function formatSome(names: readonly string[], max: number, count = names.length): string {
  const named = names.slice(0, max);
  return named.join(', ') + (count > named.length ? ` and ${count - named.length} more` : '');
}

/** The beginning of a text from the file. Links and passwords in addresses are secret, so they are left out. */
export function truncate(text: string): string {
  if (/chat\.whatsapp\.com/i.test(text)) return 'a link';
  if (/:\/\/.*@/s.test(text)) return 'an address with a login';
  const line = text.replace(/\s+/g, ' ');
  return line.length > 40 ? `${line.slice(0, 40)}…` : line;
}

/** Of a failed access to a file. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}

export function cannotRead(code: string): string {
  if (code === 'EISDIR') return 'cannot be read: it is a folder';
  return `cannot be read: ${code === 'EACCES' ? 'permission denied' : code}`;
}
