/** Calls through a proxy: a tunnel, then exactly one request; and what a proxy that makes none does to a call. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { createRyzeClient } from '../../src/ryze/client.ts';
import { readProxies } from '../../src/ryze/proxies.ts';
import { startHttpProxy } from '../support/httpProxy.ts';
import { freePort } from '../support/redisServer.ts';
import { startTlsFront } from '../support/tlsFront.ts';

const jid = '120363406289005073@g.us';
const token = 'a-token-of-some-length';
const call = { instance: 'bot', token, identifier: jid };

async function withStandIn() {
  const standIn = await startStandIn({ instances: ['bot'], tokens: [{ token }], groups: [{ jid }] });
  onTestFinished(() => standIn.close());
  return standIn;
}

function open(baseUrl: string, env: NodeJS.ProcessEnv, timeoutMs = 30_000) {
  const client = createRyzeClient({ baseUrl, timeoutMs, proxies: readProxies(env) });
  onTestFinished(() => client.close());
  return client;
}

describe('a proxy', () => {
  it('makes one tunnel, through which each call sends one request', async () => {
    const [standIn, proxy] = [await withStandIn(), await startHttpProxy()];
    const client = open(standIn.url, { HTTP_PROXY: `http://me:p%40ss@127.0.0.1:${proxy.port}` });
    expect(await client.groupInfo(call)).toMatchObject({ kind: 'read' });
    // The pool takes the connection back right after the answer has ended.
    await new Promise(setImmediate);
    expect(await client.resetLink(call)).toMatchObject({ kind: 'reset', inviteCode: standIn.codeOf(jid) });
    expect(standIn.log.all).toHaveLength(2);
    expect(proxy.asked).toEqual([new URL(standIn.url).host]);
    expect(proxy.logins).toEqual(['me:p@ss']);
  });

  it('is named in lower case first, without a scheme too, and not used for what NO_PROXY names', async () => {
    const [standIn, proxy, other] = [await withStandIn(), await startHttpProxy(), await startHttpProxy()];
    const { host, port } = new URL(standIn.url);
    const [used, ignored] = [`127.0.0.1:${proxy.port}`, `http://127.0.0.1:${other.port}`];
    const tunnels = async (env: NodeJS.ProcessEnv) => {
      const before = proxy.asked.length;
      expect(await open(standIn.url, env).groupInfo(call)).toMatchObject({ kind: 'read' });
      return proxy.asked.length - before;
    };
    expect(await tunnels({ http_proxy: used, HTTP_PROXY: ignored, HTTPS_PROXY: ignored })).toBe(1);
    expect(await tunnels({ HTTP_PROXY: used, NO_PROXY: 'example.org, other.example' })).toBe(1);
    expect(await tunnels({ HTTP_PROXY: used, NO_PROXY: `127.0.0.1:${Number(port) + 1}` })).toBe(1);
    for (const direct of ['*', '127.0.0.1', host, `localhost,${host}`]) {
      expect(await tunnels({ HTTP_PROXY: used, NO_PROXY: direct })).toBe(0);
    }
    expect(await tunnels({ HTTP_PROXY: used, NO_PROXY: '', no_proxy: '127.0.0.1' })).toBe(0);
    expect(await tunnels({ HTTPS_PROXY: used })).toBe(0);
    expect(await tunnels({ HTTP_PROXY: used, http_proxy: '' })).toBe(0);
    expect(other.asked).toEqual([]);
  });

  it('that breaks the tunnel breaks the request, which is not sent again', async () => {
    let requests = 0;
    const server = createServer((socket: Socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        requests += 1;
        socket.destroy();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const proxy = await startHttpProxy();
    const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = open(target, { HTTP_PROXY: `127.0.0.1:${proxy.port}` });
    expect(await client.resetLink(call)).toMatchObject({ code: 'network_error', kind: 'unknown' });
    expect([requests, proxy.asked.length]).toEqual([1, 1]);
  });
});

describe('a proxy that makes no tunnel fails the call before it is sent', () => {
  const secret = 'hunter2';
  const cases = [
    ['needs a login', 407, '', 'refuses the connection: it requires a user and a password (HTTP 407)'],
    ['refuses the login', 407, `me:${secret}@`, 'refuses the connection: wrong user or password (HTTP 407)'],
    ['forbids the host', 403, `me:${secret}@`, 'refuses the connection: HTTP 403'],
    ['cannot reach the host', 502, '', 'refuses the connection: HTTP 502'],
    ['hangs up', 'hangUp', `me:${secret}@`, '(it closed the connection)'],
  ] as const;
  it.each(cases)('%s', async (_case, answer, login, text) => {
    const [standIn, proxy] = [await withStandIn(), await startHttpProxy(answer)];
    const address = `127.0.0.1:${proxy.port}`;
    const client = open(standIn.url, { HTTP_PROXY: `http://${login}${address}` });
    const outcome = await client.resetLink(call);
    expect(outcome).toMatchObject({ code: 'network_error', kind: 'notSent', over: false, httpStatus: null });
    const { message } = outcome as { message: string };
    expect(message).toContain(`the proxy ${address}`);
    expect(message).toContain(text);
    expect(message).not.toContain(secret);
    expect([standIn.log.all.length, proxy.asked.length]).toEqual([0, 1]);
  });

  it('is away, is silent, or is no proxy', async () => {
    const standIn = await withStandIn();
    const away = await freePort();
    const speaksElse = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('-ERR unknown command\r\n');
    }).listen(0, '127.0.0.1');
    await once(speaksElse, 'listening');
    onTestFinished(() => void speaksElse.close());
    const { port } = speaksElse.address() as AddressInfo;
    const failed = async (proxyPort: number, timeoutMs?: number) =>
      await open(standIn.url, { HTTP_PROXY: `http://127.0.0.1:${proxyPort}` }, timeoutMs).resetLink(call);
    const message = `cannot reach the proxy 127.0.0.1:${away} (ECONNREFUSED)`;
    expect(await failed(away)).toMatchObject({ code: 'network_error', kind: 'notSent', message });
    expect(await failed(port)).toMatchObject({
      code: 'network_error',
      kind: 'notSent',
      message: `cannot reach the proxy 127.0.0.1:${port} (it does not answer in HTTP)`,
    });
    const silent = await startHttpProxy('silence');
    expect(await failed(silent.port, 200)).toMatchObject({ kind: 'notSent' });
    expect(standIn.log.all).toEqual([]);
  });
});

it('a certificate that is not trusted names the remedy, directly and behind a proxy', async () => {
  const standIn = await withStandIn();
  const { host } = await startTlsFront(standIn.url);
  const proxy = await startHttpProxy();
  for (const env of [{}, { HTTPS_PROXY: `127.0.0.1:${proxy.port}` }, { HTTP_PROXY: `127.0.0.1:${proxy.port}` }]) {
    expect(await open(`https://${host}`, env).resetLink(call)).toMatchObject({
      code: 'network_error',
      kind: 'notSent',
      message: expect.stringMatching(/for a private certificate authority, set NODE_EXTRA_CA_CERTS\)$/),
    });
  }
  expect(standIn.log.all).toEqual([]);
  expect(proxy.asked).toEqual([host, host]);
});

describe('the address of a proxy', () => {
  it.each([
    ['proxy.example:3128', 'http://proxy.example:3128'],
    ['http://proxy.example', 'http://proxy.example:80'],
    ['HTTPS://proxy.example/', 'https://proxy.example:443'],
    ['http://[::1]:3128', 'http://[::1]:3128'],
    ['http://me:a:b@proxy.example:1', 'http://me:a%3Ab@proxy.example:1'],
    ['  ', ''],
  ])('may be %j', (text, url) => {
    expect(readProxies({ HTTPS_PROXY: text })).toEqual({ httpsProxy: url, httpProxy: '', noProxy: '' });
  });

  it.each([
    ['socks5://me:hunter2@proxy.example:1080', 'is not the address of an HTTP proxy'],
    ['http://me:hunter2#x@proxy.example', 'has a character in its user or password that must be percent-encoded'],
    ['http://me:hunter2%@proxy.example', 'has a character in its user or password that must be percent-encoded'],
    ['http://me:hunter2@', 'has no host'],
    ['http://me:hunter2@proxy.example:port', 'has a port that is not a number from 1 to 65535'],
    ['http://proxy.example:3128/path', 'has something after host and port'],
    ['http://::1:3128', 'has an IPv6 address without brackets'],
    ['http://proxy example:3128', 'has an invalid host'],
  ])('must not be %j', (text, why) => {
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy']) {
      expect(() => readProxies({ [name]: text })).toThrow(`${name} ${why}`);
      expect(() => readProxies({ [name]: text })).not.toThrow('hunter2');
    }
  });
});
