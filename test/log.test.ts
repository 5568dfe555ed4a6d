import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createLog, createLogStream, redactSecrets, registerSecret } from '../src/log.ts';
import { until } from './support/until.ts';

function capture(isTTY = false) {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const log = createLog({ level: 'info', to: Object.assign(stream, { isTTY }) });
  return { log, text: () => text };
}

it('writes JSON lines with a name for each event', () => {
  const { log, text } = capture();
  log.info({ event: 'started', groups: 3 }, 'running');
  expect(JSON.parse(text())).toEqual({
    level: 30,
    time: expect.stringMatching(/Z$/),
    event: 'started',
    groups: 3,
    msg: 'running',
  });
});

it('redacts links, codes and tokens, wherever they are', () => {
  registerSecret('tok-3f9c2a');
  const { log, text } = capture();
  const secrets = ['tok-3f9c2a', 'AbCdEfGhIjKl', 'QrStUvWxYz12'];
  log.info(
    { event: 'x', token: 'tok-3f9c2a', group: { inviteCode: 'AbCdEfGhIjKl' } },
    'new link https://chat.whatsapp.com/QrStUvWxYz12',
  );
  log.error({ event: 'x', err: new Error('refused tok-3f9c2a for chat.whatsapp.com/QrStUvWxYz12') }, 'failed');
  for (const secret of secrets) expect(text()).not.toContain(secret);
  expect(text()).toContain('[redacted]');
});

it.each([false, true])('writes only the text of an error, also on a terminal (%s)', (isTTY) => {
  const { log, text } = capture(isTTY);
  const args = ['record', '{"inviteCode":"AbCdEfGhIjKl"}'];
  const failure = Object.assign(new Error('connection closed', { cause: new Error('reset by peer') }), {
    command: { name: 'evalsha', args },
    previousErrors: [Object.assign(new Error('before'), { command: { args } })],
  });
  log.error({ event: 'x', err: failure }, 'failed');
  expect(text()).toContain('connection closed');
  expect(text()).toContain('reset by peer');
  expect(text()).toContain('log.test.ts');
  expect(text()).not.toContain('AbCdEfGhIjKl');
});

it('does the same on a terminal', () => {
  registerSecret('tok-3f9c2a');
  const { log, text } = capture(true);
  log.warn({ event: 'x' }, 'https://chat.whatsapp.com/QrStUvWxYz12 and tok-3f9c2a');
  expect(text()).toContain('https://chat.whatsapp.com/[redacted] and [redacted]');
});

it.each([
  'https://chat.whatsapp.com/QrStUvWxYz12',
  'HTTPS://CHAT.WHATSAPP.COM/QrStUvWxYz12',
  'chat.whatsapp.com/invite/QrStUvWxYz12?x=1',
  '<https://chat.whatsapp.com//QrStUvWxYz12>',
  'https://chat.whatsapp.com/code-QrStUvWxYz12',
  'https://chat.whatsapp.com/codeQrStUvWxYz12',
  'https://chat.whatsapp.com/…QrStUvWxYz12',
  'https://chat.whatsapp.com/<QrStUvWxYz12>',
  String.raw`{"link":"https:\/\/chat.whatsapp.com\/QrStUvWxYz12"}`,
  'https://api.example/info?identifier=https%3A%2F%2Fchat.whatsapp.com%2FQrStUvWxYz12',
  'whatsapp://chat/?code=QrStUvWxYz12',
])('redacts %s', (text) => {
  const clean = redactSecrets(`a ${text} b`);
  expect(clean).toContain('[redacted]');
  expect(clean).not.toContain('QrStUvWxYz12');
  expect(redactSecrets(clean)).toBe(clean);
});

it.each([
  'expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)',
  'expected https://chat.whatsapp.com/ followed by the code, and nothing else',
  'rotate https://chat.whatsapp.com/<code>',
  'rotate https://chat.whatsapp.com/CODE --wait',
  'rotate chat.whatsapp.com/invite/CODE.',
])('does not redact the text of the program: %s', (text) => expect(redactSecrets(text)).toBe(text));

it('leaves the end of a line intact', () => {
  expect(redactSecrets('{"a":"https://chat.whatsapp.com/ABC123XYZ","b":1}\n')).toBe(
    '{"a":"https://chat.whatsapp.com/[redacted]","b":1}\n',
  );
});

const lost = (lines: number) => `lost ${lines}\n`;
const line = `${'x'.repeat(9_999)}\n`;

/** A reader that reads on request. */
function slowReader() {
  let read = false;
  let waiting: (() => void) | null = null;
  const got: string[] = [];
  const target = new Writable({
    write(chunk, _encoding, done) {
      got.push(String(chunk));
      if (read) done();
      else waiting = done;
    },
  });
  const start = () => {
    read = true;
    waiting?.();
  };
  return { target, got, start };
}

it('buffers a limited amount for a slow reader, and counts the lines beyond', async () => {
  const { target, got, start } = slowReader();
  const log = createLogStream(target, lost);
  for (let i = 0; i < 500; i++) log.write(line);
  expect(target.writableLength).toBeLessThan(1_100_000);
  const buffered = target.writableLength / line.length;
  start();
  await until('it to be read', () => target.writableLength === 0);
  log.write('next\n');
  expect(got.slice(-2)).toEqual([lost(500 - buffered), 'next\n']);
});

it('ignores a closed pipe', async () => {
  const target = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  const log = createLogStream(target, lost);
  log.write('first\n');
  await until('the pipe to be closed', () => target.destroyed);
  expect(() => log.write('next\n')).not.toThrow();
});
