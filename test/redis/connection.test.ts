import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue, Worker } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { type ConnectOptions, connectRedis } from '../../src/redis/connection.ts';
import { inspectRedis, inspectServer } from '../../src/redis/inspect.ts';
import { createRefusals } from '../../src/redis/outage.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { testRedis } from '../support/redis.ts';
import { password, primaryName, sentinelPassword, startCluster, startSentinels } from '../support/redisGroups.ts';
import { freePort, type RedisServer, startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

async function open(target: Parameters<typeof connectRedis>[0], options: ConnectOptions = {}): Promise<Redis> {
  const client = await connectRedis(target, options);
  onTestFinished(() => client.disconnect());
  return client as Redis;
}

async function ownServer(
  options: { password?: string; port?: number; appendOnly?: boolean } = {},
): Promise<RedisServer> {
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

describe('a Redis that cannot be reached', () => {
  it('is reported at once: connection refused', async () => {
    const port = await freePort();
    const failure = await connectRedis({ url: `redis://u:s3cret@127.0.0.1:${port}` }).catch((error: Error) => error);
    expect(failure).toMatchObject({
      name: 'RedisStartError',
      message: `cannot reach Redis at redis://127.0.0.1:${port}: connection refused`,
    });
  });

  it('is reported at once: no such socket, also for a relative path', async () => {
    await expect(connectRedis({ path: 'no/such.sock' })).rejects.toThrow(
      'cannot reach Redis at no/such.sock: no such socket',
    );
  });

  it('is reported at once: it closes the connection, as in protected mode', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('-DENIED Redis is running in protected mode\r\n');
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    await expect(connectRedis({ url: `redis://127.0.0.1:${port}` })).rejects.toThrow(
      `redis://127.0.0.1:${port}: connection closed; a Redis without a password refuses connections from other machines`,
    );
  });

  it('is reported at once: Sentinels and nodes, each with the reason why it does not answer', async () => {
    const { port } = await ownServer({ password: 'right' });
    const dead = await freePort();
    const servers = [
      { host: '127.0.0.1', port },
      { host: '127.0.0.1', port: dead },
    ];
    const login = { password: 's3cret', tls: false };
    const both = `wrong user or password at 127.0.0.1:${port}, connection refused at 127.0.0.1:${dead}`;
    await expect(connectRedis({ cluster: servers, login })).rejects.toThrow(
      `cannot reach Redis at the cluster of 127.0.0.1:${port}, 127.0.0.1:${dead}: ${both}`,
    );
    const sentinels = { sentinels: servers, name: 'links', sentinelPassword: 's3cret', login };
    await expect(connectRedis(sentinels)).rejects.toThrow(`: ${both}`);
  });

  it('is reported at once: Sentinels that know no such primary', async () => {
    const { contacts } = await startSentinels();
    const login = { password, tls: false };
    const right = { sentinels: contacts, name: primaryName, sentinelPassword, login };
    const failure = async (over: object) =>
      await connectRedis({ ...right, ...over }).catch((error: Error) => error.message);
    expect(await failure({ name: 'other' })).toMatch(/: they know no primary of that name$/);
    expect(await failure({ login: { ...login, password: 's3cret' } })).toMatch(/: wrong user or password$/);
  });

  it('is reported at once: a wrong password or none, without showing it', async () => {
    const { port } = await ownServer({ password: 'right' });
    await expect(connectRedis({ url: `redis://:s3cret@127.0.0.1:${port}` })).rejects.toThrow(
      `cannot reach Redis at redis://127.0.0.1:${port}: wrong user or password`,
    );
    await expect(connectRedis({ url: `redis://127.0.0.1:${port}` })).rejects.toThrow(
      `cannot reach Redis at redis://127.0.0.1:${port}: it requires a password, and none was given`,
    );
  });

  it('is reported in time if it accepts the connection and does not answer', async () => {
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

  it('reconnects after an outage, and reports each reason once', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const changes: [boolean, string][] = [];
    const client = await open({ url: proxy.url }, { onChange: (isConnected, why) => changes.push([isConnected, why]) });
    await proxy.refuse();
    const asked = client.ping();
    await until('the refusal to be reported', () => changes.some(([, why]) => why === 'connection refused'));
    await until('several tries', () => client.status === 'reconnecting');
    await proxy.heal();
    expect(await asked).toBe('PONG');
    expect(changes.at(-1)).toEqual([true, '']);
    expect(changes.filter(([, why]) => why === 'connection refused')).toHaveLength(1);
  });

  it('is replaced after a silent cut, and the command is sent again on the next one', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const client = await open({ url: proxy.url }, { silenceMs: 2_000 });
    proxy.blackHole();
    const asked = client.ping();
    await until('the silence to end', () => client.status !== 'ready');
    await proxy.heal();
    expect(await asked).toBe('PONG');
  });

  it('survives a slow network', async () => {
    const proxy = await ownProxy(inject('redisUrl'));
    const client = await open({ url: proxy.url }, { silenceMs: 5_000 });
    proxy.delay(100);
    const before = performance.now();
    expect(await Promise.all(Array.from({ length: 5 }, (_, i) => client.echo(String(i))))).toEqual([...'01234']);
    expect(performance.now() - before).toBeGreaterThan(190);
  });

  it('lets a worker that was created during an outage work afterwards', async () => {
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

describe('a command that Redis refuses for a while', () => {
  it('is sent again until it is accepted, and reported once', async () => {
    const { url } = await ownServer();
    const reported: (string | null)[] = [];
    const refusals = createRefusals((change) => reported.push(change?.reason ?? null));
    const client = await open({ url }, { refusals });
    await client.config('SET', 'min-replicas-to-write', '1');
    const asked = [client.set('one', 1), client.pipeline().set('two', 2).get('two').exec()] as const;
    await until('it to be refused', () => refusals.now() === 'NOREPLICAS');
    await client.config('SET', 'min-replicas-to-write', '0');
    expect(await asked[0]).toBe('OK');
    expect((await asked[1])?.map(([error]) => error)).toEqual([null, null]);
    await until('its end to be reported', () => reported.length === 2);
    expect(reported).toEqual(['NOREPLICAS', null]);
    expect(refusals.now()).toBeNull();
  });

  it('fails after the given time, and when the connection is closed', async () => {
    const { url } = await ownServer();
    const client = await open({ url }, { refusedForMs: 500 });
    const unlimited = await open({ url });
    await client.config('SET', 'min-replicas-to-write', '1');
    await expect(client.set('one', 1)).rejects.toThrow(/^NOREPLICAS/);
    const asked = unlimited.set('one', 1).catch((error: Error) => error.message);
    await expect(client.set('one', 1)).rejects.toThrow(/^NOREPLICAS/);
    unlimited.disconnect();
    expect(await asked).toBe('Connection is closed.');
  });

  it('never splits a transaction', async () => {
    const { url } = await ownServer();
    const client = await open({ url });
    await client.config('SET', 'min-replicas-to-write', '1');
    await expect(client.multi().set('one', 1).set('two', 2).exec()).rejects.toThrow(/^EXECABORT/);
    await client.config('SET', 'min-replicas-to-write', '0');
    expect(await client.exists('one', 'two')).toBe(0);
  });

  it('is sent again in a cluster', async () => {
    const { contacts } = await startCluster();
    const refusals = createRefusals();
    const client = await connectRedis({ cluster: contacts, login: { password, tls: false } }, { refusals });
    onTestFinished(() => client.disconnect());
    const nodes = (client as unknown as Cluster).nodes('master');
    const need = async (replicas: number) =>
      await Promise.all(nodes.map((node) => node.config('SET', 'min-replicas-to-write', replicas)));
    await need(9);
    const asked = client.set('one', 1);
    await until('it to be refused', () => refusals.now() === 'NOREPLICAS');
    await need(0);
    expect(await asked).toBe('OK');
  });
});

describe('the server', () => {
  const keepsNothing = 'Redis saves nothing to disk: a restart loses every link and every job; set appendonly to yes';

  const onlySnapshots = 'Redis saves only snapshots: a crash loses the newest links and jobs; set appendonly to yes';

  it('needs an append-only file, else there is a warning', async () => {
    const { url } = await ownServer();
    const client = await open({ url });
    expect(await inspectRedis(client)).toEqual({ problem: null, warnings: [keepsNothing] });
    await client.config('SET', 'save', '60 1');
    expect(await inspectRedis(client)).toEqual({ problem: null, warnings: [onlySnapshots] });
    const appending = await ownServer({ appendOnly: true });
    expect(await inspectRedis(await open({ url: appending.url }))).toEqual({ problem: null, warnings: [] });
  });

  it('causes no warning if it does not say what it saves', async () => {
    const { url } = await ownServer();
    const client = await open({ url });
    await client.acl('SETUSER', 'default', '-config');
    expect(await inspectRedis(client)).toEqual({ problem: null, warnings: [] });
  });

  it('causes a warning if it may evict keys', async () => {
    const { url } = await ownServer();
    const client = await open({ url });
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { warnings } = await inspectRedis(client);
    expect(warnings).toContain('Redis may evict keys (maxmemory-policy allkeys-lru): set it to noeviction');
  });

  it.each([
    ['too old', '6.0.16', 'standalone', 'Redis 6.0.16 is too old: 6.2 or newer is needed'],
    ['just new enough', '6.2.0', 'standalone', null],
    ['much newer', '10.1.0', 'standalone', null],
    ['a Sentinel', '7.0.0', 'sentinel', 'this is a Redis Sentinel: name it under redis.sentinels in the file'],
    ['a node', '7.0.0', 'cluster', 'this Redis is a node of a cluster: name it under redis.cluster in the file'],
  ])('is judged by its version and mode: %s', async (_, version, mode, problem) => {
    const info = `# Server\r\nredis_version:${version}\r\nredis_mode:${mode}\r\n`;
    const server = { info: () => Promise.resolve(info) } as unknown as Redis;
    expect(await inspectServer(server)).toEqual({ problem, warnings: [] });
  });
});
