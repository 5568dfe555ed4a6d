/** Reads an instance's token from where the file says it is. Checks it, and never repeats it. */
import { readFileSync } from 'node:fs';
import type { TokenSource } from './config.ts';

export type TokenResult =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly message: string };

export function readToken(source: TokenSource, env: NodeJS.ProcessEnv): TokenResult {
  if (source.from === 'env') {
    const value = env[source.variable];
    if (value === undefined) return no(`the environment variable ${source.variable} (tokenEnv) is not set`);
    return check(value, `the environment variable ${source.variable} (tokenEnv)`);
  }
  try {
    return check(readFileSync(source.path, 'utf8'), `${source.path} (tokenFile)`);
  } catch (error) {
    return no(`cannot read ${source.path} (tokenFile): ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}

/** A line break at the end is how files and shells come; anything else that no header can carry is a mistake. */
function check(value: string, where: string): TokenResult {
  const token = value.replace(/\r?\n$/, '');
  if (token === '') return no(`${where} is empty`);
  if (!/^[\x21-\x7e]+$/.test(token)) return no(`${where} holds white space or characters that no token has`);
  return { ok: true, token };
}

function no(message: string): TokenResult {
  return { ok: false, message };
}
