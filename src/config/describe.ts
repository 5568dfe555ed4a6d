/**
 * zod's issues in plain words that say what would be right, and what stands there instead where that helps and tells
 * no secret.
 */
import type { z } from 'zod';
import { type Finding, type Path, short } from './problems.ts';
import { didYouMean } from './suggest.ts';

/** A token, a password or an invite code may stand here, also by mistake. */
const unquotedKeys = new Set([
  ...['token', 'password', 'sentinelPassword'].flatMap((secret) => [`${secret}Env`, `${secret}File`]),
  ...['identifier', 'url', 'baseUrl'],
]);

/** `at`: where the value stands that was parsed. */
export function describeIssue(issue: z.core.$ZodIssue, at: Path): Finding {
  const path: Path = [...at, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  return { path, message: messageOf(issue, !path.some((part) => unquotedKeys.has(String(part)))) };
}

function messageOf(issue: z.core.$ZodIssue, quoted: boolean): string {
  if (issue.code === 'custom') return issue.message;
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_value') return oneOf(issue.values.map(String), issue.input);
  // Where the schema has its own words, they say enough.
  if (!/^(Invalid|Too|Unrecognized) /.test(issue.message)) return issue.message;
  return `expected ${nounOf(issue)}, found ${found(issue.input, quoted)}`;
}

/** What to say of a value that is none of those allowed. */
function oneOf(allowed: readonly string[], value: unknown): string {
  const hint = typeof value === 'string' ? didYouMean(value, allowed) : '';
  return `expected ${allowed.join(', ')}; found ${found(value)}${hint}`;
}

export function unknownKey(at: Path, key: string, known: readonly string[]): string {
  const holder = at.findLast((part) => typeof part === 'string') ?? '';
  if (holder === 'instances' && /^token$/i.test(key)) {
    return 'the token itself must not stand in this file: name an environment variable (tokenEnv) or a file (tokenFile)';
  }
  if (holder === 'redis' && /^password$/i.test(key)) {
    return 'a password must not stand in this file: name an environment variable (passwordEnv) or a file (passwordFile)';
  }
  if (holder === 'redis' && /^nodes$/i.test(key)) return 'unknown key "nodes": the list of nodes is called "cluster"';
  if (key === '<<') return 'merging maps with "<<" is not supported: use "defaults"';
  return `unknown key "${short(key)}"${didYouMean(key, known)}`;
}

function nounOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type') return 'another value';
  const nouns: Readonly<Record<string, string>> = {
    string: 'text',
    boolean: 'true or false',
    array: 'a list',
    object: 'a map',
  };
  return nouns[issue.expected] ?? issue.expected;
}

/** What stands there; `quoted`: with its value, as short as it can be told. */
export function found(value: unknown, quoted = true): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value !== 'string') return quoted ? String(value) : `a ${typeof value}`;
  if (value === '') return 'empty text';
  return quoted ? `"${short(value)}"` : 'other text';
}
