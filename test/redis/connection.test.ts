import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import {
  type ConnectOptions,
  connectRedis,
  describeTarget,
  inspectRedis,
  namedRedis,
} from '../../src/redis/connection.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { testRedis } from '../support/redis.ts';
import { freePort, type RedisServer, startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

const none = { prefix: 'bull' };

async function open(target: Parameters<typeof connectRedis>[0], options: ConnectOptions = {}): Promise<Redis> {
  const client = await connectRedis(target, options);
  onTestFinished(() => client.disconnect());
  return client;
}

async function ownServer(options: { password?: string; port?: number } = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-connection-'));
  const server = await startRedisServer({ binary: inject('redisServer'), folder, ...options });
  onTestFinished(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return server;
}

async function ownProxy(url: string) {
  const proxy = await createFaultProxy(Number(new URL(url).port));
  onTestFinished(() => proxy.close());
  return { ...proxy, url: `redis://127.0.0.1:${proxy.port}` };
}

describe('which Redis', () => {
  it('is what REDIS_URL says, then what the file says, then none', () => {
    const file = { ...none, url: 'redis://file:6379' };
    expect(namedRedis(file, { REDIS_URL: 'redis://env:6379/2' })).toEqual({ url: 'redis://env:6379/2' });
    expect(namedRedis(file, { REDIS_URL: '' })).toEqual({ url: 'redis://file:6379' });
    expect(namedRedis(none, {})).toBeNull();
    expect(namedRedis(none, { REDIS_URL: 'unix:///run/my%20redis.sock' })).toEqual({ path: '/run/my redis.sock' });
  });

  it('is never asked in the clear because of capital letters', () => {
    expect(namedRedis(none, { REDIS_URL: 'REDISS://h:1' })).toEqual({ url: 'rediss://h:1' });
  });

  it.each(['localhost:6379', 'http://h', 'redis:', 's3cret'])('is refused where it is no address: %s', (text) => {
    const message = 'is no address like redis://host:6379';
    expect(() => namedRedis(none, { REDIS_URL: text })).toThrow(`REDIS_URL ${message}`);
    expect(() => namedRedis({ ...none, url: text }, {})).toThrow(`redis.url ${message}`);
    expect(() => namedRedis(none, { REDIS_URL: text })).not.toThrow('s3cret');
  });

  it('is told without user and password', () => {
    expect(describeTarget({ url: 'rediss://user:s3cret@host:6380/1?password=s3cret' })).toBe('rediss://host:6380/1');
    expect(describeTarget({ path: 'data/redis.sock' })).toBe('data/redis.sock');
  });
});

describe('a Redis that cannot be reached', () => {
  it('is told at once: refused', async () => {
    const port = await freePort();
    const failure = await connectRedis({ url: `redis://u:s3cret@127.0.0.1:${port}` }).catch((error: Error) => error);
    expect(failure).toMatchObject({
      name: 'RedisStartError',
      message: `cannot reach Redis at redis://127.0.0.1:${port}: connection refused`,
    });
  });

  it('is told at once: no such socket, by a relative path too', async () => {
    await expect(connectRedis({ path: 'no/such.sock' })).rejects.toThrow(
      'cannot reach Redis at no/such.sock: no such socket',
    );
  });

  it('is told at once: wrong password, and none; neither is ever shown', async () => {
    const { port } = await ownServer({ password: 'right' });
    await expect(connectRedis({ url: `redis://:s3cret@127.0.0.1:${port}` })).rejects.toThrow(
      `cannot reach Redis at redis://127.0.0.1:${port}: wrong user or password`,
    );
    await expect(connectRedis({ url: `redis://127.0.0.1:${port}` })).rejects.toThrow(
      `cannot reach Redis at redis://127.0.0.1:${port}: it wants a password, and the address has none`,
    );
  });

  it('is told in time where it takes the connection and keeps silent', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    proxy.blackHole();
    await expect(connectRedis({ url: proxy.url }, { silenceMs: 200 })).rejects.toThrow(/: no answer$/);
  });
});

describe('a connection', () => {
  it('names itself, and suits BullMQ and every duplicate that BullMQ makes of it', async () => {
    const client = await open({ url: inject('redisUrl') });
    expect(await client.client('GETNAME')).toBe('invite-rotator');
    expect(client.duplicate({ lazyConnect: true }).options).toMatchObject({ maxRetriesPerRequest: null });
    expect(client.options.lazyConnect).toBe(false);
    expect(client.options.commandTimeout).toBeUndefined();
    expect(client.options.socketTimeout).toBeGreaterThan(10_000);
  });

  it('comes back after an outage by itself, and tells each reason once', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const told: [boolean, string][] = [];
    const client = await open({ url: proxy.url }, { onChange: (up, why) => told.push([up, why]) });
    await proxy.refuse();
    const asked = client.ping();
    await until('the refusal to be told', () => told.some(([, why]) => why === 'connection refused'));
    await until('several tries', () => client.status === 'reconnecting');
    await proxy.heal();
    expect(await asked).toBe('PONG');
    expect(told.at(-1)).toEqual([true, '']);
    expect(told.filter(([, why]) => why === 'connection refused')).toHaveLength(1);
  });

  it('gives a cut up that nobody told it of, and asks again on the next one', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const client = await open({ url: proxy.url }, { silenceMs: 300 });
    proxy.blackHole();
    const asked = client.ping();
    await until('the silence to end', () => client.status !== 'ready');
    await proxy.heal();
    expect(await asked).toBe('PONG');
  });

  it('is no concern of a slow network', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const client = await open({ url: proxy.url }, { silenceMs: 1_000 });
    proxy.delay(100);
    const before = performance.now();
    expect(await Promise.all(Array.from({ length: 5 }, (_, i) => client.echo(String(i))))).toEqual([...'01234']);
    expect(performance.now() - before).toBeGreaterThan(190);
  });

  it('lets a worker that was made during an outage work once it is over', async () => {
    const { url, prefix } = testRedis();
    const proxy = await ownProxy(url);
    const connection = await open({ url: proxy.url });
    await proxy.refuse();
    const done: unknown[] = [];
    const worker = new Worker('jobs', async ({ data }) => done.push(data), { connection, prefix });
    worker.on('error', () => {});
    onTestFinished(() => worker.close());
    await until('its connection to be refused', () => connection.status === 'reconnecting');
    await proxy.heal();
    const queue = new Queue('jobs', { connection, prefix });
    onTestFinished(() => queue.close());
    await queue.add('job', 1);
    await until('the job to be done', () => done.length === 1);
  });
});

describe('the server', () => {
  it('is fit as the tests run it', async () => {
    expect(await inspectRedis(await open({ url: inject('redisUrl') }))).toEqual({ refusal: null, warnings: [] });
  });

  it('is warned about where it may throw keys away', async () => {
    const { url } = await ownServer();
    const client = await open({ url });
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { warnings } = await inspectRedis(client);
    expect(warnings).toEqual(['Redis may throw keys away (maxmemory-policy allkeys-lru): set it to noeviction']);
  });

  it.each([
    ['6.0.16', true],
    ['6.2.0', false],
    ['10.1.0', false],
  ])('is refused where it is too old: %s', async (version, refused) => {
    const client = { info: () => Promise.resolve(`# Server\r\nredis_version:${version}\r\n`) } as unknown as Redis;
    const { refusal } = await inspectRedis(client);
    expect(refusal).toBe(refused ? `Redis ${version} is too old: 6.2 or newer is needed` : null);
  });
});
