import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import type { Fault } from '../../dev/standin/faults.ts';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { createRyzeClient } from '../../src/ryze/client.ts';
import { isFailure } from '../../src/ryze/outcome.ts';
import { freePort } from '../support/redisServer.ts';

const jid = '120363406289005073@g.us';
const token = 'a-token-of-some-length';
const call = { instance: 'bot', token, identifier: jid };

/** No call ends by it, however busy the machine is. */
const ampleMs = 30_000;

async function withStandIn(options: Partial<StandInOptions> = {}, timeoutMs = ampleMs) {
  const standIn = await startStandIn({ instances: ['bot'], tokens: [{ token }], groups: [{ jid }], ...options });
  const client = createRyzeClient({ baseUrl: standIn.url, timeoutMs });
  onTestFinished(async () => {
    await standIn.close();
    await client.close();
  });
  return { standIn, client };
}

/** A server that always sends the same answer. */
async function answering(status: number, body: object | Buffer, headers: Record<string, string> = {}) {
  const server = createHttpServer((_request, response) => {
    response.writeHead(status, headers);
    response.end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}` };
}

it('resets a link, and reads it without changing it', async () => {
  const { standIn, client } = await withStandIn();
  const before = standIn.codeOf(jid);
  const reset = await client.resetLink(call);
  const code = standIn.codeOf(jid);
  expect(code).not.toBe(before);
  const link = { jid, inviteCode: code };
  expect(reset).toEqual({
    kind: 'reset',
    ...link,
    rateLimit: { limit: 100, remaining: 99, resetInMs: expect.any(Number) },
  });
  expect(await client.groupInfo(call)).toMatchObject({ kind: 'read', ...link });
  expect(await client.groupInfo({ ...call, identifier: code })).toMatchObject({ kind: 'read', ...link });
  expect(standIn.codeOf(jid)).toBe(code);
});

it('reports a link that is not shown as unknown', async () => {
  const { standIn, client } = await withStandIn();
  for (const link of ['empty', 'missing'] as const) {
    standIn.group(jid).link = link;
    expect(await client.groupInfo(call)).toMatchObject({
      kind: 'read',
      ...{ jid, inviteCode: null },
    });
  }
});

const faults = [
  [{ kind: 'serverError', effect: true }, 'server_error', 'unknown', true],
  [{ kind: 'serverError', effect: false, html: true, status: 502 }, 'server_error', 'unknown', false],
  [{ kind: 'cut', effect: true }, 'network_error', 'unknown', false],
  [{ kind: 'cut', effect: false }, 'network_error', 'unknown', false],
  [{ kind: 'silence', effectAfterMs: null }, 'timeout', 'unknown', false],
  [{ kind: 'slow', ms: 900 }, 'timeout', 'unknown', false],
  [{ kind: 'badBody', body: 'cut' }, 'bad_response', 'unknown', false],
  [{ kind: 'badBody', body: 'html' }, 'bad_response', 'unknown', false],
  [{ kind: 'badBody', body: 'empty' }, 'bad_response', 'unknown', false],
  [{ kind: 'badBody', body: 'successFalse' }, 'bad_response', 'unknown', true],
  [{ kind: 'badBody', body: 'otherGroup' }, 'bad_response', 'unknown', false],
  [{ kind: 'badBody', body: 'oversized' }, 'bad_response', 'unknown', false],
  [{ kind: 'badBody', body: 'trickle' }, 'bad_response', 'unknown', false],
  [{ kind: 'redirect', to: '/api/group/resetLink/bot' }, 'bad_response', 'unknown', false],
  [{ kind: 'throttled' }, 'throttled', 'rejected', true],
  [{ kind: 'throttled', status: 404 }, 'throttled', 'unknown', true],
  [{ kind: 'limit' }, 'rate_limited', 'rejected', true],
] as const;
/** Of the answers that do not come in time. One that comes in pieces must have begun by then. */
function timeoutFor(fault: Fault): number {
  if (fault.kind === 'silence' || fault.kind === 'slow') return 500;
  return fault.kind === 'badBody' && fault.body === 'trickle' ? 2_000 : ampleMs;
}

it.each(faults)('classifies %j as %s (%s, over: %s), with one request', async (fault, code, kind, over) => {
  const { standIn, client } = await withStandIn({}, timeoutFor(fault));
  standIn.faults.next(fault);
  expect(await client.resetLink(call)).toMatchObject({ code, kind, over });
  expect(standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
});

it.each([
  { inviteCode: 'ABC/../..' },
  { inviteCode: '"><script>' },
  { inviteCode: 'x'.repeat(65) },
  { inviteLink: 'https://evil.example/ABC123XYZ' },
  { inviteLink: 'https://chat.whatsapp.com/ABC123XYZ', inviteCode: 'OTHER123' },
])('rejects what is not an invite link: %j', async (shown) => {
  const { url } = await answering(200, { success: true, group: { jid, ...shown } });
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.groupInfo(call)).toMatchObject({ code: 'bad_response' });
});

const links = [
  'https://chat.whatsapp.com/NEW123XYZ',
  'https://CHAT.WhatsApp.com/NEW123XYZ',
  'https://www.chat.whatsapp.com/NEW123XYZ#invite',
  'http://chat.whatsapp.com/invite/NEW123XYZ/',
  'chat.whatsapp.com/NEW123XYZ?mode=ems_copy_t',
  ' https://chat.whatsapp.com/NEW123XYZ\n',
  '\u200bhttps://chat.whatsapp.com/NEW123XYZ\u202c',
];
const usable: [number, object][] = [
  ...links.map((inviteLink): [number, object] => [200, { success: true, groupJid: jid, inviteLink }]),
  [201, { success: true, groupJid: jid, inviteCode: 'NEW123XYZ', inviteLink: links[0] }],
  [202, { success: true, groupJid: jid, inviteCode: 'NEW123XYZ' }],
  [200, { inviteCode: 'NEW123XYZ', inviteLink: null }],
  [200, { success: true, groupJid: '', inviteCode: ' NEW123XYZ ', inviteLink: '' }],
  [206, { success: 'true', inviteCode: 'NEW123XYZ' }],
  [200, { success: null, groupJid: 5, inviteCode: 7, inviteLink: links[0] }],
  [200, { success: 1, groupJid: jid, inviteCode: 'undefined', inviteLink: links[0] }],
  [200, { success: true, groupJid: jid, inviteCode: 'NEW123XYZ', inviteLink: 'https://chat.whatsapp.com/undefined' }],
  [200, { success: true, groupJid: jid, inviteCode: ['x'], inviteLink: links[2] }],
  [200, { success: { toString: 1 }, groupJid: jid, inviteCode: links[3] }],
  [200, { success: true, groupJid: `\u200e${jid.toUpperCase()} `, inviteCode: '\ufeffNEW123XYZ\u200b' }],
  [200, { groupJid: jid.replace('@', ':7@'), inviteCode: 'NEW123XYZ' }],
];
it.each(usable)('accepts every form of success: %i %j', async (status, body) => {
  const { url } = await answering(status, body);
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.resetLink(call)).toMatchObject({ kind: 'reset', jid, inviteCode: 'NEW123XYZ' });
});

const sound = Buffer.from(JSON.stringify({ success: true, groupJid: jid, inviteCode: 'NEW123XYZ' }));
const packed: [string, Buffer, Record<string, string>][] = [
  ['with a byte order mark', Buffer.concat([Buffer.from('\ufeff'), sound]), {}],
  ['with another charset', sound, { 'content-type': 'text/html; charset=iso-8859-1' }],
  ['compressed by gzip', gzipSync(sound), { 'content-encoding': 'GZIP' }],
  ['compressed by deflate', deflateSync(sound), { 'content-encoding': 'deflate' }],
  ['compressed by brotli', brotliCompressSync(sound), { 'content-encoding': 'br' }],
  ['with an encoding that every object has', sound, { 'content-encoding': 'constructor' }],
];
it.each(packed)('accepts a success %s', async (_how, body, headers) => {
  const { url } = await answering(200, body, headers);
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.resetLink(call)).toMatchObject({ kind: 'reset', jid, inviteCode: 'NEW123XYZ' });
});

it.each([
  ['is not compressed as it says', sound, { 'content-encoding': 'gzip' }],
  ['is very long once it is decompressed', gzipSync(Buffer.alloc(1_000_000, ' ')), { 'content-encoding': 'gzip' }],
])('survives a success that %s', async (_how, body, headers) => {
  const { url } = await answering(200, body, headers);
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.resetLink(call)).toMatchObject({ code: 'bad_response', kind: 'unknown', over: false });
});

it('does not take an interim answer for the answer', async () => {
  const interim = 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n';
  const body = JSON.stringify({ success: true, groupJid: jid, inviteCode: 'NEW123XYZ' });
  const final = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const after: ((socket: Socket) => void)[] = [(socket) => socket.write(final), (socket) => socket.end(), () => {}];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(interim, () => setImmediate(() => after.shift()?.(socket))));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const [client, hasty] = [
    createRyzeClient({ baseUrl, timeoutMs: ampleMs }),
    createRyzeClient({ baseUrl, timeoutMs: 300 }),
  ];
  onTestFinished(async () => {
    server.close();
    await client.close();
    await hasty.close();
  });
  expect(await client.resetLink(call)).toMatchObject({ kind: 'reset', inviteCode: 'NEW123XYZ' });
  const none = { kind: 'unknown', over: false, httpStatus: null };
  expect(await client.resetLink(call)).toMatchObject({ ...none, code: 'network_error' });
  expect(await hasty.resetLink(call)).toMatchObject({ ...none, code: 'timeout' });
});

it.each([
  [429, 'throttled', 'unknown'],
  [500, 'server_error', 'unknown'],
])('classifies a very long answer by its status: %i', async (status, code, kind) => {
  const { url } = await answering(status, Buffer.alloc(100_000, 'x'));
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.resetLink(call)).toMatchObject({ code, kind, over: false, httpStatus: status });
});

const noCodes = [
  'undefined',
  'null',
  'NaN',
  'NaNNaNNaN',
  'redacted',
  'REDACTED',
  '[object Object]',
  'invitecode',
  'Unknown',
  'null-null',
  'inviteCode',
  'Invite_Link',
  'NaN_NaN',
  '120363406289005073',
  'x y',
];
it.each(noCodes)('rejects %j as an invite code', async (inviteCode) => {
  for (const body of [
    { success: true, groupJid: jid, inviteCode, inviteLink: `https://chat.whatsapp.com/${inviteCode}` },
    { success: true, groupJid: jid, inviteCode },
    { success: true, groupJid: jid },
  ]) {
    const { url } = await answering(200, body);
    const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
    onTestFinished(() => client.close());
    expect(await client.resetLink(call)).toMatchObject({ code: 'bad_response', kind: 'unknown', over: false });
  }
});

it('survives any answer, and returns no link that the answer does not contain', async () => {
  let next: { status: number; headers: Record<string, string>; body: string } = { status: 200, headers: {}, body: '' };
  let requests = 0;
  const server = createHttpServer((_request, response) => {
    requests += 1;
    response.writeHead(next.status, next.headers);
    response.end(next.body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createRyzeClient({
    baseUrl: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    timeoutMs: ampleMs,
  });
  onTestFinished(async () => {
    await client.close();
    server.close();
  });
  const code = fc.oneof(
    fc.constantFrom('NEW123XYZ', 'undefined', 'NaN', 'redacted', jid),
    fc.string({ maxLength: 30 }),
  );
  const text = fc.option(
    fc.oneof(
      code,
      code.map((one) => `https://chat.whatsapp.com/${one}`),
      fc.webUrl(),
    ),
  );
  const shown = fc.record(
    { success: fc.oneof(fc.boolean(), fc.jsonValue()), groupJid: text, inviteCode: text, inviteLink: text },
    { requiredKeys: [] },
  );
  const answer = fc.oneof(
    shown.map((reset) => JSON.stringify({ ...reset, group: { ...reset, jid: reset.groupJid } })),
    fc.json(),
    fc.string({ maxLength: 200 }),
  );
  const header = fc.string({ maxLength: 20 }).map((value) => value.replace(/[^\x20-\x7e]/g, ''));
  const headers = fc.record(
    {
      ...{ 'x-ratelimit-limit': header, 'x-ratelimit-remaining': header, 'x-ratelimit-reset': header },
      ...{ 'retry-after': header, location: fc.oneof(header, fc.webUrl()), date: header, 'content-type': header },
      'content-encoding': fc.constantFrom('gzip', 'deflate', 'br', 'identity', 'zstd', '__proto__'),
    },
    { requiredKeys: [] },
  );
  const status = fc.oneof(
    fc.constantFrom(200, 201, 400, 401, 403, 404, 408, 429, 500, 503),
    fc.integer({ min: 200, max: 599 }),
  );
  await fc.assert(
    fc.asyncProperty(status, headers, answer, fc.boolean(), async (code, sent, body, resets) => {
      next = { status: code, headers: sent, body: [204, 205, 304].includes(code) ? '' : body };
      const before = requests;
      const outcome = await (resets ? client.resetLink(call) : client.groupInfo(call));
      expect(requests).toBe(before + 1);
      if (isFailure(outcome) || outcome.inviteCode === null) return;
      expect(body).toContain(outcome.inviteCode);
      expect(outcome.inviteCode).toMatch(/^(?=.*(\d|[a-z].*[A-Z]|[A-Z].*[a-z]))[A-Za-z0-9_-]{6,64}$/);
      expect(outcome.jid).toBe(jid);
    }),
    { numRuns: 600 },
  );
});

it('repeats neither the token nor a code from the answer', async () => {
  const message = `Token ${token} sees no group for VIPcodeABC`;
  const { url } = await answering(404, { success: false, error: { message } });
  const client = createRyzeClient({ baseUrl: url, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  const failed = await client.groupInfo({ ...call, identifier: 'VIPcodeABC' });
  expect(failed).toMatchObject({ message: 'Token [redacted] sees no group for [redacted]' });
});

it('works without the rate-limit headers', async () => {
  const { standIn, client } = await withStandIn();
  standIn.faults.next({ kind: 'noHeaders' });
  expect(await client.resetLink(call)).toMatchObject({ kind: 'reset', rateLimit: null });
});

it('keeps connections alive, and never resends a request whose connection broke', async () => {
  // A bare server counts the requests that arrive, and hangs up on the second one without an answer.
  let requests = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      if (!/^(GET|POST) /.test(data.toString())) return;
      requests += 1;
      const body = JSON.stringify({ group: { jid, inviteLink: 'https://chat.whatsapp.com/ABC123XYZ' } });
      if (requests === 1) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      else socket.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createRyzeClient({
    baseUrl: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    timeoutMs: ampleMs,
  });
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await client.close();
  });
  expect(await client.groupInfo(call)).toMatchObject({ kind: 'read' });
  // The pool takes the connection back right after the answer has ended.
  await new Promise(setImmediate);
  expect(await client.groupInfo(call)).toMatchObject({ code: 'network_error', kind: 'unknown' });
  await sleep(100);
  expect(requests).toBe(2);
  expect(sockets.size).toBe(1);
});

it('recognizes requests that were never sent', async () => {
  const client = createRyzeClient({ baseUrl: `http://127.0.0.1:${await freePort()}`, timeoutMs: ampleMs });
  onTestFinished(() => client.close());
  expect(await client.resetLink(call)).toMatchObject({
    code: 'network_error',
    kind: 'notSent',
    message: 'cannot connect (ECONNREFUSED)',
  });
  expect(await client.resetLink({ ...call, token: 'a\nb' })).toMatchObject({ kind: 'notSent' });
});

it('does not send a request that timed out while it waited for a connection', async () => {
  const server = createServer(() => {}).listen({ port: 0, host: '127.0.0.1', backlog: 1 });
  await once(server, 'listening');
  // The server never answers the TLS handshake: there is a connection, but none that can carry a request.
  const client = createRyzeClient({
    baseUrl: `https://127.0.0.1:${(server.address() as { port: number }).port}`,
    timeoutMs: 200,
  });
  onTestFinished(() => {
    server.close();
    void client.close();
  });
  expect(await client.resetLink(call)).toMatchObject({ code: 'timeout', kind: 'notSent' });
});

it('encodes the parts of the path', async () => {
  const { standIn, client } = await withStandIn();
  await client.groupInfo({ ...call, instance: '../../health?x', identifier: 'a&b=c' });
  expect(standIn.log.all.map(({ path }) => path)).toEqual([
    '/api/group/info/..%2F..%2Fhealth%3Fx?identifier=a%26b%3Dc&participants=false',
  ]);
});
