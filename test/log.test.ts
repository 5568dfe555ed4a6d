import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createLog, keepSecret, withoutSecrets } from '../src/log.ts';

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

it('leaves out links, codes and tokens, wherever somebody put them', () => {
  keepSecret('tok-3f9c2a');
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

it.each([false, true])('tells of an error only its words, on a terminal (%s) too', (isTTY) => {
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
  keepSecret('tok-3f9c2a');
  const { log, text } = capture(true);
  log.warn({ event: 'x' }, 'https://chat.whatsapp.com/QrStUvWxYz12 and tok-3f9c2a');
  expect(text()).toContain('https://chat.whatsapp.com/[redacted] and [redacted]');
});

it('keeps the end of a line whole', () => {
  expect(withoutSecrets('{"a":"https://chat.whatsapp.com/ABC123XYZ","b":1}\n')).toBe(
    '{"a":"https://chat.whatsapp.com/[redacted]","b":1}\n',
  );
});
