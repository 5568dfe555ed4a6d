import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readSecret } from '../../src/config/secrets.ts';

const env = (value?: string) =>
  readSecret({ name: 'token', from: 'env', variable: 'RYZE_TOKEN' }, value === undefined ? {} : { RYZE_TOKEN: value });

it('reads a token from the environment, without a trailing line break', () => {
  expect(env('abc-123')).toEqual({ ok: true, secret: 'abc-123' });
  expect(env('abc-123\n')).toEqual({ ok: true, secret: 'abc-123' });
});

it('names a variable that is not set', () => {
  expect(env()).toEqual({
    ok: false,
    message: 'the environment variable RYZE_TOKEN (tokenEnv) is not set, nor is RYZE_TOKEN_FILE',
  });
});

const secret = 'Zx81c0ffee5ecret4711';

describe('a token that is not one is named precisely, without any part of it', () => {
  const table: [string, string, string][] = [
    ['nothing', '', 'is empty'],
    ['a line break alone', '\r\n', 'is empty'],
    ['blanks', ' \t', 'contains only blanks'],
    ['double quotes', `"${secret}"`, 'is in quotes: remove them'],
    ['single quotes', `'${secret}'\n`, 'is in quotes'],
    ['quotes in blanks', ` "${secret}" `, 'is in quotes'],
    ['one quote', `"${secret}`, 'has a quotation mark at one end'],
    ['brackets', `<${secret}>`, 'is in angle brackets'],
    ['an assignment', `RYZE_TOKEN=${secret}`, 'begins with a name and "="'],
    ['an export', `export RYZE_TOKEN="${secret}"`, 'begins with a name and "="'],
    ['an assignment in lower case', `ryze_token = ${secret}`, 'begins with a name and "="'],
    ['a header', `Bearer ${secret}`, 'begins with "Bearer"'],
    ['a header in full', `Authorization: bearer ${secret}`, 'begins with "Bearer"'],
    ['YAML', `token: ${secret}`, 'begins with a name and ":"'],
    ['YAML without a blank', `token:${secret}`, 'begins with a name and ":"'],
    ['a header of RyzeAPI', `Token: ${secret}`, 'begins with a name and ":"'],
    ['JSON', `{"token":"${secret}"}`, 'is JSON'],
    ['an address', `https://ryzeapi.cloud/${secret}`, 'is an address, not a token'],
    ['a byte order mark', `\ufeff${secret}`, 'begins with a byte order mark (BOM)'],
    ['two lines', `${secret}\n${secret}\n`, 'has 2 lines of text: expected the token alone, on one line'],
    ['three lines of Windows', `# token\r\n\r\n${secret}\r\n${secret}`, 'has 3 lines of text'],
    ['a blank before', ` ${secret}`, 'begins with white space: remove it'],
    ['a blank after', `${secret} \n`, 'ends with white space: remove it'],
    ['a blank inside', `${secret} x`, 'contains white space (U+0020) after 20 characters'],
    ['a no-break space', `${secret}\u00a0x`, 'contains white space (U+00A0) after 20 characters'],
    ['an invisible character', `${secret}\u200bx`, 'contains an invisible character (U+200B) after 20 characters'],
    ['a control character', `${secret}\u0007x`, 'contains an invisible character (U+0007) after 20 characters'],
    ['another alphabet', `${secret}ïx`, 'contains a character that is not ASCII after 20 characters'],
    ['too much', secret.repeat(500), 'is longer than 8 KiB: expected the token alone'],
  ];
  it.each(table)('%s', (_name, value, fault) => {
    const read = env(value);
    if (read.ok) throw new Error('accepted');
    expect(read.message).toMatch(/^the environment variable RYZE_TOKEN \(tokenEnv\) /);
    expect(read.message).toContain(fault);
    expect(read.message).not.toContain(secret.slice(0, 4));
  });

  it.each(['YWJjZA==', 'abc=def', 'a:b:c', 'eyJhbGciOiJIUzI1NiJ9.e30.x-_', "it's", `${secret}\n\n`])(
    'accepts %j',
    (value) => expect(env(value)).toEqual({ ok: true, secret: value.trimEnd() }),
  );
});

describe('a token file that is not one is named', () => {
  const table: [string, string | Buffer, string][] = [
    ['UTF-16', Buffer.from(`\ufeff${secret}`, 'utf16le'), 'is UTF-16 text: save it as UTF-8'],
    ['a byte order mark', `\ufeff${secret}`, 'begins with a byte order mark (BOM)'],
    ['zero bytes', Buffer.from([65, 0, 66]), 'is not text: it contains zero bytes'],
    ['another encoding', Buffer.from([65, 0xe9, 66]), 'is not UTF-8 text'],
    ['too much', 'x'.repeat(9_000), 'is larger than 8 KiB: expected the token alone'],
    ['nothing', '', 'is empty'],
  ];
  it.each(table)('%s', (_name, content, fault) => {
    const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-token-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'token');
    writeFileSync(path, content);
    const read = readSecret({ name: 'token', from: 'file', path }, {});
    expect(read).toEqual({ ok: false, message: expect.stringContaining(`${path} (tokenFile) ${fault}`) });
  });

  it('a device without an end', () => {
    expect(readSecret({ name: 'token', from: 'file', path: '/dev/zero' }, {})).toEqual({
      ok: false,
      message: '/dev/zero (tokenFile) is larger than 8 KiB: expected the token alone',
    });
  });
});

it('reads a token from a file, and names a file that cannot be read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-token-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'token');
  expect(readSecret({ name: 'token', from: 'file', path }, {})).toEqual({
    ok: false,
    message: `cannot read ${path} (tokenFile): ENOENT, there is no such file`,
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
    message: `cannot read ${folder} (RYZE_TOKEN_FILE): EISDIR, it is a folder`,
  });
});

it('allows more characters in a password than in a token, but no line breaks', () => {
  const password = (value: string) => readSecret({ name: 'password', from: 'env', variable: 'PW' }, { PW: value });
  expect(password('two wörds\n')).toEqual({ ok: true, secret: 'two wörds' });
  expect(password('a\nb')).toEqual({
    ok: false,
    message: 'the environment variable PW (passwordEnv) has 2 lines of text: expected the password alone, on one line',
  });
  expect(password('a\tb')).toEqual({
    ok: false,
    message:
      'the environment variable PW (passwordEnv) contains line breaks or other control characters (after 1 characters)',
  });
});
