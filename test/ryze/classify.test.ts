import { describe, expect, it } from 'vitest';
import { classifyAnswer, classifyBrokenConnection, redact } from '../../src/ryze/classify.ts';
import { readRateLimit } from '../../src/ryze/headers.ts';

const envelope = (message: string) => JSON.stringify({ success: false, error: { message } });

describe('an answer', () => {
  const table: [number, string, number | null, string, string, boolean][] = [
    [400, envelope('Identifier is required'), 50, 'invalid_request', 'rejected', true],
    [400, envelope('Instance is not connected to WhatsApp'), 50, 'instance_disconnected', 'rejected', true],
    [503, envelope('Instance is not connected to WhatsApp'), 50, 'instance_disconnected', 'rejected', true],
    [401, envelope('Missing token in header'), null, 'unauthorized', 'rejected', true],
    [401, envelope('Invalid account token'), null, 'unauthorized', 'rejected', true],
    [401, envelope('not-authorized'), 50, 'unauthorized', 'unknown', true],
    [401, '<html>login</html>', null, 'bad_response', 'unknown', false],
    [403, envelope('Not authorized to reset group invite link (must be admin)'), 50, 'not_admin', 'rejected', true],
    [403, envelope('Instance token does not match the requested instance'), 50, 'wrong_instance', 'rejected', true],
    [403, envelope('Forbidden'), 50, 'unauthorized', 'unknown', true],
    [403, '<html>blocked</html>', null, 'bad_response', 'unknown', false],
    [404, envelope('Instance not found'), 50, 'instance_not_found', 'rejected', true],
    [404, envelope('Group not found or you are not a member of this group'), 50, 'group_not_found', 'rejected', true],
    [404, envelope('item-not-found'), 50, 'group_not_found', 'unknown', true],
    [404, envelope('info query timed out'), 50, 'server_error', 'unknown', false],
    [404, envelope('rate-overlimit'), 50, 'throttled', 'unknown', true],
    [400, envelope('timed out'), 50, 'server_error', 'unknown', false],
    [404, envelope('Group not found: info query timed out'), 50, 'server_error', 'unknown', false],
    [403, envelope('must be admin (no response in time)'), 50, 'server_error', 'unknown', false],
    [
      400,
      envelope('Instance is not connected to WhatsApp: i/o timeout'),
      50,
      'instance_disconnected',
      'unknown',
      false,
    ],
    [429, envelope('info query timed out'), 40, 'throttled', 'unknown', false],
    [429, envelope('something odd'), 40, 'throttled', 'unknown', true],
    [429, envelope('something odd'), 0, 'rate_limited', 'rejected', true],
    [429, '', null, 'throttled', 'unknown', false],
    [501, envelope('upstream connect error'), 50, 'server_error', 'unknown', false],
    [500, envelope('rate-overlimit: context deadline exceeded'), 50, 'throttled', 'unknown', false],
    [500, envelope('context cancelled'), 50, 'server_error', 'unknown', false],
    [500, envelope('EOF'), 50, 'server_error', 'unknown', false],
    [500, envelope('write: broken pipe'), 50, 'server_error', 'unknown', false],
    [500, envelope('The operation took too long'), 50, 'server_error', 'unknown', false],
    [500, envelope('no response from WhatsApp'), 50, 'server_error', 'unknown', false],
    [500, envelope('client is not connected'), 50, 'server_error', 'unknown', false],
    [500, envelope('read ECONNRESET'), 50, 'server_error', 'unknown', false],
    [500, envelope('network is unreachable'), 50, 'server_error', 'unknown', false],
    [500, envelope('runtime error: invalid memory address'), 50, 'server_error', 'unknown', true],
    [400, envelope('bad-request'), 50, 'invalid_request', 'unknown', true],
    [408, envelope('Request Timeout'), 50, 'server_error', 'unknown', false],
    [409, envelope('conflict'), 50, 'server_error', 'unknown', false],
    [425, '', null, 'server_error', 'unknown', false],
    [499, '', null, 'server_error', 'unknown', false],
    [428, envelope('Connection Closed'), 50, 'instance_disconnected', 'unknown', false],
    [500, envelope('info query timed out'), 50, 'server_error', 'unknown', false],
    [500, envelope('websocket not connected'), 50, 'server_error', 'unknown', false],
    [503, envelope('try again'), 50, 'server_error', 'unknown', true],
    [404, '<html>no such page</html>', null, 'bad_response', 'unknown', false],
    [429, envelope('Rate limit exceeded. Try again later.'), 0, 'rate_limited', 'rejected', true],
    [429, envelope('Rate limit exceeded. Try again later.'), null, 'rate_limited', 'rejected', true],
    [429, '', 0, 'rate_limited', 'rejected', false],
    [429, envelope('rate-overlimit'), 40, 'throttled', 'rejected', true],
    [429, '<html>slow down</html>', null, 'throttled', 'rejected', false],
    [500, envelope('database is locked'), 50, 'server_error', 'unknown', true],
    [500, envelope('rate-overlimit'), 50, 'throttled', 'unknown', true],
    [500, '<html>oops</html>', null, 'server_error', 'unknown', false],
    [501, envelope('not implemented'), 50, 'server_error', 'rejected', true],
    [501, envelope('something odd'), 50, 'server_error', 'unknown', true],
    [501, '<html>oops</html>', 50, 'server_error', 'unknown', false],
    [500, envelope('Not authorized to reset group invite link (must be admin)'), 50, 'not_admin', 'unknown', true],
    [200, envelope('Not authorized to reset group invite link (must be admin)'), 50, 'not_admin', 'unknown', true],
    [403, envelope('Group not found or you are not a member'), 50, 'group_not_found', 'unknown', true],
    [500, envelope('Instance is not connected to WhatsApp'), 50, 'instance_disconnected', 'unknown', false],
    [500, envelope('Invalid token'), 50, 'unauthorized', 'unknown', true],
    [500, envelope('Group not found: context deadline exceeded'), 50, 'server_error', 'unknown', false],
    [502, '', null, 'server_error', 'unknown', false],
    [302, '', null, 'bad_response', 'unknown', false],
    [200, envelope('failed'), 50, 'bad_response', 'unknown', true],
    [200, envelope('Group not found'), 50, 'group_not_found', 'unknown', true],
    [200, '{"success":true}', 50, 'bad_response', 'unknown', false],
    [200, '', 50, 'bad_response', 'unknown', false],
  ];
  it.each(table)('%i %s (remaining %s) is %s, %s, over: %s', (status, body, remaining, code, kind, over) => {
    expect(classifyAnswer(status, body, remaining)).toMatchObject({
      code,
      kind,
      over,
      httpStatus: status,
    });
  });

  it('takes time in proportion to the length of an answer', () => {
    for (const part of ['1-', '-1', 'a-', '_', 'chat.whatsapp.com/', 'aB ']) {
      const message = part.repeat(64 * 1024);
      expect(classifyAnswer(500, JSON.stringify({ success: false, error: { message } }), null).code).toBe(
        'server_error',
      );
    }
  });

  it('redacts what looks like a code, with or without digits, but not words', () => {
    for (const code of [
      'AbCdEf0123456789ghijkl',
      'abcdefGHIJKLmnopqrSTUV',
      'HGZ8cTq-1_aYf6vQx2Lb3M',
      '0123456789abcdefghijkl',
    ]) {
      expect(redact(`group ${code} not found`)).toBe('group [redacted] not found');
    }
    for (const words of ['instance_disconnected', 'Internationalisierung', '120363406289005073@g.us']) {
      expect(redact(words)).toBe(words);
    }
  });

  it('repeats no secret of the request', () => {
    const body = envelope('token "a-short-token" may not use VIPCODE');
    const { message } = classifyAnswer(403, body, 1, ['a-short-token', 'VIPCODE']);
    expect(message).toBe('token "[redacted]" may not use [redacted]');
  });

  it('contains no link, code or control character', () => {
    const { message } = classifyAnswer(
      400,
      envelope('bad\nlink https://chat.whatsapp.com/ABC123XYZabc and code AbCdEf0123456789ghijkl\u001b[31m'),
      1,
    );
    expect(message).toBe('bad link https://chat.whatsapp.com/[redacted] and code [redacted] [31m');
    expect(redact('x'.repeat(1_000))).toHaveLength(200);
  });
});

describe('no answer', () => {
  const error = (code: string) => Object.assign(new Error(code), { code });
  it('means that nothing was sent if there was no connection', () => {
    expect(classifyBrokenConnection(error('ECONNREFUSED'), false)).toMatchObject({
      code: 'network_error',
      kind: 'notSent',
    });
    expect(classifyBrokenConnection(error('ENOTFOUND'), false)).toMatchObject({
      code: 'network_error',
      kind: 'notSent',
    });
    expect(classifyBrokenConnection(error('UND_ERR_CONNECT_TIMEOUT'), false)).toMatchObject({
      code: 'timeout',
      kind: 'notSent',
    });
  });
  it('means an unknown effect once the request was sent', () => {
    expect(classifyBrokenConnection(error('ECONNRESET'), true)).toMatchObject({
      code: 'network_error',
      kind: 'unknown',
      over: false,
    });
  });
});

describe('X-RateLimit headers', () => {
  const now = 1_763_802_000_000;
  const headers = (over: Record<string, string | undefined> = {}) => ({
    'x-ratelimit-limit': '100',
    'x-ratelimit-remaining': '7',
    'x-ratelimit-reset': String(now / 1000 + 30),
    ...over,
  });
  it("are read by the server's own clock if it sends the time", () => {
    expect(readRateLimit(headers(), now)).toEqual({ limit: 100, remaining: 7, resetInMs: 30_000 });
    const date = new Date(now + 10_000).toUTCString();
    expect(readRateLimit(headers({ date }), now - 3_600_000)).toEqual({ limit: 100, remaining: 7, resetInMs: 20_000 });
  });
  it('never reset in the past', () => {
    expect(readRateLimit(headers({ 'x-ratelimit-reset': '1000000000' }), now)?.resetInMs).toBe(0);
  });
  it('are ignored if one is missing or implausible', () => {
    for (const over of [
      { 'x-ratelimit-limit': undefined },
      { 'x-ratelimit-limit': '0' },
      { 'x-ratelimit-remaining': '-1' },
      { 'x-ratelimit-remaining': '101' },
      { 'x-ratelimit-reset': 'soon' },
    ]) {
      expect(readRateLimit(headers(over), now)).toBeNull();
    }
  });
});
