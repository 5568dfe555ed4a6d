/** What is wrong with a configuration file, in words, where it stands. */
import { closest, distance } from 'fastest-levenshtein';
import type { z } from 'zod';
import { knownKeys } from './schema.ts';

export type Path = readonly (string | number)[];

/** A problem before its place in the file is known. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The path ends in a key that should not be there: point at the key, not at its value. */
  readonly atKey?: boolean;
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
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
    '',
  );
}

/** The known word nearest to one that is not known; null when none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (known.length === 0) return null;
  const best = closest(word.toLowerCase(), [...known]);
  return distance(word.toLowerCase(), best.toLowerCase()) <= Math.max(2, Math.floor(word.length / 3)) ? best : null;
}

export function didYouMean(word: string, known: readonly string[]): string {
  const best = nearest(word, known);
  return best === null ? '' : `; did you mean "${best}"?`;
}

/** Keys that a later version will know, with what to say until then. */
const notYet: Readonly<Record<string, string>> = {
  'redis.sentinels': 'Redis Sentinel is not supported yet: use "url"',
  'redis.name': 'Redis Sentinel is not supported yet: use "url"',
  'redis.cluster': 'Redis Cluster is not supported yet: use "url"',
  'redis.nodes': 'Redis Cluster is not supported yet: use "url"',
};

/** zod's issues in plain words. `at`: where the parsed section stands in the file. */
export function describeIssues(error: z.ZodError, at: Path): Finding[] {
  return error.issues.flatMap((issue) => describeIssue(issue, at));
}

function describeIssue(issue: z.core.$ZodIssue, at: Path): Finding[] {
  const path: Path = [...at, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const holder = path.findLast((part) => typeof part === 'string') ?? '';
      return issue.keys.map((key) => {
        const later = notYet[pathText([...path, key])];
        const message = later ?? `unknown key "${key}"${didYouMean(key, knownKeys[holder] ?? [])}`;
        return { path: [...path, key], message, atKey: true };
      });
    }
    case 'invalid_type':
      if (issue.input === undefined) return [{ path, message: 'is required' }];
      return [
        {
          path,
          message: wanted(issue) ? issue.message : `expected ${noun(issue.expected)}, found ${found(issue.input)}`,
        },
      ];
    case 'invalid_value': {
      const values = issue.values.map(String);
      const hint = typeof issue.input === 'string' ? didYouMean(issue.input, values) : '';
      return [{ path, message: `expected ${values.join(', ')}; found ${found(issue.input)}${hint}` }];
    }
    case 'invalid_union': {
      // `verify`: somebody who wrote a map wants to hear about the map.
      const maps = issue.errors.find((errors) =>
        errors.some((inner) => inner.code !== 'invalid_value' && !isMapWanted(inner)),
      );
      if (maps !== undefined) return maps.flatMap((inner) => describeIssue(inner, path));
      const isOps = pathText(path) === 'ops';
      return [{ path, message: isOps ? opsMessage : `expected "off" or a map; found ${found(issue.input)}` }];
    }
    default:
      return [{ path, message: issue.message }];
  }
}

const opsMessage = 'the status pages do not exist yet: only "ops: off" is accepted for now';

/** Whether the schema has said itself what it expects. */
function wanted(issue: z.core.$ZodIssue): boolean {
  return issue.message.startsWith('expected') || issue.message.startsWith('is ');
}

function isMapWanted(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

function noun(expected: string): string {
  const nouns: Record<string, string> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a map',
  };
  return nouns[expected] ?? expected;
}

/** A value as short as it can be told. */
export function found(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
