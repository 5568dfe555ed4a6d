/** Reads a token or a password from where the file says it is. Checks it, and never repeats it. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretName, SecretSource } from './config.ts';
import type { Report } from './problems.ts';
import type { MapRead } from './readMap.ts';

export type SecretResult =
  | { readonly ok: true; readonly secret: string }
  | { readonly ok: false; readonly message: string };

/** What it may be made of, and what it holds otherwise. */
const allowed: Readonly<Record<SecretName, readonly [RegExp, string]>> = {
  // As it goes into an HTTP header.
  token: [/^[\x21-\x7e]+$/, 'white space or characters that no token has'],
  password: [/^\P{Cc}+$/u, 'line breaks or other control characters'],
  sentinelPassword: [/^\P{Cc}+$/u, 'line breaks or other control characters'],
};

/**
 * In place of a variable there may be one of the same name with `_FILE` at its end, which names a file, as is usual in
 * containers. A line break at the end of a secret is how files and shells come: it is left out.
 */
export function readSecret(source: SecretSource, env: NodeJS.ProcessEnv): SecretResult {
  const { name } = source;
  if (source.from === 'file') return readSecretFile(name, source.path, `${name}File`);
  const { variable } = source;
  const where = `the environment variable ${variable} (${name}Env)`;
  const [value, path] = [env[variable], env[`${variable}_FILE`]];
  if (value !== undefined && path !== undefined)
    return no(`${variable} and ${variable}_FILE are both set: one must go`);
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
  return pattern.test(secret) ? { ok: true, secret } : no(`${where} holds ${otherwise}`);
}

function no(message: string): SecretResult {
  return { ok: false, message };
}

/** What a map says of a secret in `<name>Env` or `<name>File`; null: neither, or what it says was reported. */
export function secretSource<N extends SecretName>(
  name: N,
  {
    at,
    values,
    set,
  }: Pick<MapRead<never>, 'at' | 'set'> & { values: { readonly [K in `${N}${'Env' | 'File'}`]?: string } },
  file: string,
  report: Report,
): SecretSource | null {
  const [envKey, fileKey] = [`${name}Env`, `${name}File`] as const;
  if (set.has(envKey) && set.has(fileKey)) {
    report(at, `has both "${envKey}" and "${fileKey}": one must go`);
    return null;
  }
  const [variable, path] = [values[envKey], values[fileKey]];
  if (variable !== undefined) return { name, from: 'env', variable };
  return path === undefined ? null : { name, from: 'file', path: resolve(file, '..', path) };
}
