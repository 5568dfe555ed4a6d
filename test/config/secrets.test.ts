import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readSecret } from '../../src/config/secrets.ts';

const env = (value?: string) =>
  readSecret({ name: 'token', from: 'env', variable: 'RYZE_TOKEN' }, value === undefined ? {} : { RYZE_TOKEN: value });

it('reads a token from the environment, without a trailing line break', () => {
  expect(env('abc-123')).toEqual({ ok: true, secret: 'abc-123' });
  expect(env('abc-123\n')).toEqual({ ok: true, secret: 'abc-123' });
});

it('names a variable that is not set, is empty or cannot be a token', () => {
  expect(env()).toEqual({
    ok: false,
    message: 'the environment variable RYZE_TOKEN (tokenEnv) is not set, nor is RYZE_TOKEN_FILE',
  });
  expect(env('')).toEqual({ ok: false, message: 'the environment variable RYZE_TOKEN (tokenEnv) is empty' });
  for (const bad of ['two words', 'a\nb', 'naïve']) {
    expect(env(bad)).toEqual({
      ok: false,
      message:
        'the environment variable RYZE_TOKEN (tokenEnv) contains white space or characters that a token cannot have',
    });
  }
});

it('reads a token from a file, and names a file that cannot be read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-token-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'token');
  expect(readSecret({ name: 'token', from: 'file', path }, {})).toEqual({
    ok: false,
    message: `cannot read ${path} (tokenFile): ENOENT`,
  });
  writeFileSync(path, 'abc-123\r\n');
  expect(readSecret({ name: 'token', from: 'file', path }, {})).toEqual({ ok: true, secret: 'abc-123' });
});

it('reads the file that a variable ending in _FILE names, and refuses both at once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-token-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'token');
  writeFileSync(path, 'abc-123\n');
  const read = (more: Record<string, string>) =>
    readSecret({ name: 'token', from: 'env', variable: 'RYZE_TOKEN' }, { RYZE_TOKEN_FILE: path, ...more });
  expect(read({})).toEqual({ ok: true, secret: 'abc-123' });
  expect(read({ RYZE_TOKEN: 'other' })).toEqual({
    ok: false,
    message: 'RYZE_TOKEN and RYZE_TOKEN_FILE are both set: remove one',
  });
  expect(read({ RYZE_TOKEN_FILE: folder })).toEqual({
    ok: false,
    message: `cannot read ${folder} (RYZE_TOKEN_FILE): EISDIR`,
  });
});

it('allows more characters in a password than in a token, but no line breaks', () => {
  const password = (value: string) => readSecret({ name: 'password', from: 'env', variable: 'PW' }, { PW: value });
  expect(password('two wörds\n')).toEqual({ ok: true, secret: 'two wörds' });
  expect(password('a\nb')).toEqual({
    ok: false,
    message: 'the environment variable PW (passwordEnv) contains line breaks or other control characters',
  });
});
