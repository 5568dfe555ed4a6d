/** Reads a token or a password from the variable or file that the configuration names. Messages never contain the secret. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretName, SecretSource } from './config.ts';

export type SecretResult =
  | { readonly ok: true; readonly secret: string }
  | { readonly ok: false; readonly message: string };

/** The characters that a secret may have, and how to describe others. */
const allowed: Readonly<Record<SecretName, readonly [RegExp, string]>> = {
  // A token is sent in an HTTP header.
  token: [/^[\x21-\x7e]+$/, 'white space or characters that a token cannot have'],
  password: [/^\P{Cc}+$/u, 'line breaks or other control characters'],
  sentinelPassword: [/^\P{Cc}+$/u, 'line breaks or other control characters'],
};

/**
 * Instead of a variable, one of the same name that ends in `_FILE` may be set to the path of a file, as is common in
 * containers. A line break at the end of a secret is removed, because files and shells often add one.
 */
export function readSecret(source: SecretSource, env: NodeJS.ProcessEnv): SecretResult {
  const { name } = source;
  if (source.from === 'file') return readSecretFile(name, source.path, `${name}File`);
  const { variable } = source;
  const where = `the environment variable ${variable} (${name}Env)`;
  const [value, path] = [env[variable], env[`${variable}_FILE`]];
  if (value !== undefined && path !== undefined) return no(`${variable} and ${variable}_FILE are both set: remove one`);
  if (path !== undefined) return readSecretFile(name, path, `${variable}_FILE`);
  return value === undefined ? no(`${where} is not set, nor is ${variable}_FILE`) : check(name, value, where);
}

function readSecretFile(name: SecretName, path: string, namedBy: string): SecretResult {
  const where = `${path} (${namedBy})`;
  try {
    return check(name, readFileSync(path, 'utf8'), where);
  } catch (error) {
    return no(`cannot read ${where}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}

function check(name: SecretName, value: string, where: string): SecretResult {
  const secret = value.replace(/\r?\n$/, '');
  const [pattern, otherwise] = allowed[name];
  if (secret === '') return no(`${where} is empty`);
  return pattern.test(secret) ? { ok: true, secret } : no(`${where} contains ${otherwise}`);
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
