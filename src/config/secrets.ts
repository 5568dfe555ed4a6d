/** Reads a token or a password from the variable or file that the configuration names. Messages never contain the secret. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretName, SecretSource } from './config.ts';

export type SecretResult =
  | { readonly ok: true; readonly secret: string }
  | { readonly ok: false; readonly message: string };

/** More than any secret has, and no more than HTTP servers accept in a header. */
const maxBytes = 8 * 1024;

/**
 * Instead of a variable, one of the same name that ends in `_FILE` may be set to the path of a file, as is common in
 * containers. Line breaks at the end of a secret are removed, because files and shells often add one.
 */
export function readSecret(source: SecretSource, env: NodeJS.ProcessEnv): SecretResult {
  const { name } = source;
  if (source.from === 'file') return readSecretFile(name, source.path, `${name}File`);
  const { variable } = source;
  const where = `the environment variable ${variable} (${name}Env)`;
  const [value, path] = [env[variable], env[`${variable}_FILE`]];
  if (value !== undefined && path !== undefined) return no(`${variable} and ${variable}_FILE are both set: remove one`);
  if (path === '') return no(`${variable}_FILE is empty: expected the path of a file`);
  if (path !== undefined) return readSecretFile(name, path, `${variable}_FILE`);
  return value === undefined ? no(`${where} is not set, nor is ${variable}_FILE`) : check(name, value, where);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  ELOOP: 'its symbolic links form a circle',
};

function readSecretFile(name: SecretName, path: string, namedBy: string): SecretResult {
  const where = `${path} (${namedBy})`;
  try {
    const bytes = readStart(path);
    if (bytes.length > maxBytes)
      return no(`${where} is larger than ${maxBytes / 1024} KiB: expected the ${name} alone`);
    const encoding = encodingProblem(bytes);
    return encoding === null ? check(name, bytes.toString('utf8'), where) : no(`${where} ${encoding}`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return no(`cannot read ${where}: ${code}${reasons[code] === undefined ? '' : `, ${reasons[code]}`}`);
  }
}

/** At most a byte more than a secret may have: the file may be a device without an end. */
function readStart(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    if (fstatSync(file).isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    const bytes = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

function encodingProblem(bytes: Buffer): string | null {
  const [first, second] = bytes;
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (isUtf16) return 'is UTF-16 text: save it as UTF-8 without a byte order mark (BOM)';
  if (bytes.includes(0)) return 'is not text: it contains zero bytes';
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return null;
  } catch {
    return 'is not UTF-8 text';
  }
}

function check(name: SecretName, value: string, where: string): SecretResult {
  const secret = value.replace(/(\r?\n)+$/, '');
  const fault = faultOf(name, secret);
  return fault === null ? { ok: true, secret } : no(`${where} ${fault}`);
}

/** What is wrong with a secret, without any part of it; null if nothing is. */
function faultOf(name: SecretName, secret: string): string | null {
  if (secret === '') return 'is empty';
  if (secret.trim() === '') return 'contains only blanks';
  if (secret.startsWith('\ufeff')) return 'begins with a byte order mark (BOM): save it without one';
  const lines = secret.split(/\r\n|\r|\n/).filter((line) => line.trim() !== '').length;
  if (lines > 1) return `has ${lines} lines of text: expected the ${name} alone, on one line`;
  if (Buffer.byteLength(secret) > maxBytes) return `is longer than ${maxBytes / 1024} KiB: expected the ${name} alone`;
  return name === 'token' ? tokenFault(secret) : controlFault(secret);
}

/** Passwords may have any characters that one can type. */
function controlFault(secret: string): string | null {
  const at = secret.search(/\p{Cc}/u);
  return at === -1 ? null : `contains line breaks or other control characters (after ${at} characters)`;
}

/** A token may contain "=", so the name must look like one of a variable. */
const assignment =
  /^(?:export\s+|set\s+)?(?:[A-Z_][A-Z0-9_]*|[A-Za-z0-9_.-]*(?:token|key|secret)[A-Za-z0-9_.-]*)\s*=\s*[^=\s]/;

/** How tokens are written in other places. A token is sent in an HTTP header, so it has no blanks. */
const wrappings: readonly (readonly [RegExp, string])[] = [
  [/^(["'`]).*\1$/s, 'is in quotes: remove them'],
  [/^<.*>$/s, 'is in angle brackets: remove them'],
  [/^\s*[{[]/, 'is JSON, or begins with a bracket: expected the token alone'],
  [/^(?:authorization\s*:\s*)?(?:bearer|basic)\s/i, 'begins with "Bearer" or "Basic": expected the token alone'],
  [assignment, 'begins with a name and "=" (NAME=token): expected the token alone'],
  [
    /^(?:[A-Za-z_][A-Za-z0-9_-]*\s*:\s|token\s*:)/i,
    'begins with a name and ":" (token: ...): expected the token alone',
  ],
  [/^[A-Za-z_]+:\/\//, 'is an address, not a token'],
  [/^["'`]|["'`]$/, 'has a quotation mark at one end: remove it'],
];

function tokenFault(token: string): string | null {
  const trimmed = token.trim();
  const wrapping = wrappings.find(([pattern]) => pattern.test(trimmed))?.[1];
  if (wrapping !== undefined) return wrapping;
  const [start, end] = [token.search(/\S/), token.trimEnd().length];
  if (start > 0) return 'begins with white space: remove it';
  if (end < token.length) return 'ends with white space: remove it';
  const odd = token.search(/[^\x21-\x7e]/);
  if (odd === -1) return null;
  return `contains ${kindOf(token, odd)} after ${odd} characters: a token has only ASCII letters, digits and punctuation`;
}

function kindOf(text: string, at: number): string {
  const code = text.codePointAt(at) ?? 0;
  const character = String.fromCodePoint(code);
  // Only characters without a shape are named: others may be a part of the secret.
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  if (/\s/u.test(character)) return `white space (${name})`;
  if (/[\p{Cc}\p{Cf}]/u.test(character)) return `an invisible character (${name})`;
  return 'a character that is not ASCII';
}

function no(message: string): SecretResult {
  return { ok: false, message };
}

/** Where the keys `<name>Env` and `<name>File` of a map say that the secret is; null if it has neither. */
export function secretSource<N extends SecretName>(
  name: N,
  keys: { readonly [K in `${N}${'Env' | 'File'}`]?: string | undefined },
  file: string,
): SecretSource | null {
  const [variable, path] = [keys[`${name}Env`], keys[`${name}File`]];
  if (variable !== undefined) return { name, from: 'env', variable };
  return path === undefined ? null : { name, from: 'file', path: resolve(file, '..', path) };
}
