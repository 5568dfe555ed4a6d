/** The users that docs/security.md advises: each part works with its own user, which has no other access. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { consumeLinks, type NewLinkEvent } from '../../src/index.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { logged, run } from '../support/cli.ts';
import { freePort, launch } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

const jid = '120363406289005073@g.us';
const token = 'secret-token-of-this-test';
const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
/** As documented there, except for the user with which the test checks that the server is up. */
const users = [...page.matchAll(/^user (?!default).*$/gm)].map(([line]) => line);

async function startServer() {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-acl-'));
  const port = await freePort();
  const file = join(folder, 'redis.conf');
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\nsave ""\nmaxmemory-policy noeviction\n${users.join('\n')}\n`);
  const { stop } = await launch(inject('redisServer'), [file], { folder, port, password: undefined });
  onTestFinished(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const url = (name: string) => {
    const password = /on >(\S+)/.exec(users.find((line) => line.startsWith(`user ${name} `)) ?? '')?.[1];
    return `redis://${name}:${password}@127.0.0.1:${port}`;
  };
  const client = (name: string) => {
    const redis = new Redis(url(name), { maxRetriesPerRequest: null });
    onTestFinished(() => redis.disconnect());
    return redis;
  };
  return { folder, url, client };
}

it('lets worker, producers and consumers work as users of their own, which may do nothing else', async () => {
  expect(users).toHaveLength(4);
  const { folder, url, client } = await startServer();
  const standIn = await startStandIn({ instances: ['bot'], tokens: [{ token }], groups: [{ jid }] });
  onTestFinished(() => standIn.close());
  const file = join(folder, 'rotation.yaml');
  writeFileSync(
    file,
    `api: { baseUrl: "${standIn.url}" }
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jid}", every: 1h, firstSeen: wait }]
join: { port: 0, publicUrl: "https://example.org" }
ops: off`,
  );
  const env = { REDIS_URL: url('rotator'), TOKEN: token, ROTATOR_CONFIG: file };
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  const got: NewLinkEvent[] = [];
  const errors: string[] = [];
  const consumer = consumeLinks({
    connection: url('consumer'),
    handler: (event) => void got.push(event),
    onError: ({ message }) => errors.push(message),
  });
  onTestFinished(() => consumer.close());
  await consumer.ready();

  const producing = client('producer');
  const queue = new Queue('rotations-bot', { connection: producing });
  const ends = new QueueEvents('rotations-bot', { connection: producing });
  onTestFinished(async () => {
    await Promise.all([queue.close(), ends.close()]);
  });
  const job = await queue.add('rotate', { group: 'vip' });
  expect(await job.waitUntilFinished(ends, 90_000)).toMatchObject({ status: 'rotated' });
  await until('the event', () => got.at(-1)?.inviteCode === standIn.codeOf(jid));
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
  expect(await run(['status', '--json'], { env }).ended).toBe(0);
  await until('the other event', () => got.at(-1)?.inviteCode === standIn.codeOf(jid));
  expect(errors).toEqual([]);

  const server = run(['join'], { env: { REDIS_URL: url('join'), ROTATOR_CONFIG: file } });
  const { url: address } = await logged(server, 'join.listening');
  const answer = await fetch(`${address}/join/vip`, { redirect: 'manual' });
  expect(answer.headers.get('location')).toBe(standIn.linkOf(jid));
  expect(server.json().filter(({ level }) => Number(level) >= 40)).toEqual([]);

  const keys = makeKeys('bull');
  const denied = /NOPERM/;
  await expect(producing.hgetall(keys.group('vip'))).rejects.toThrow(denied);
  await expect(producing.hgetall('bull:invite-links:meta')).rejects.toThrow(denied);
  const consuming = client('consumer');
  await expect(consuming.hgetall('bull:rotations-bot:meta')).rejects.toThrow(denied);
  await expect(consuming.hgetall(keys.group('vip'))).rejects.toThrow(denied);
  const reading = client('join');
  expect(await reading.hget(keys.group(jid), 'record')).toContain(standIn.codeOf(jid));
  await expect(reading.hset(keys.group(jid), 'record', '{}')).rejects.toThrow(denied);
  await expect(reading.hgetall('bull:rotations-bot:meta')).rejects.toThrow(denied);
  const commands = [
    ['FLUSHALL'],
    ['SHUTDOWN', 'NOSAVE'],
    ['KEYS', '*'],
    ['CONFIG', 'GET', '*'],
    ['ACL', 'LIST'],
  ] as const;
  for (const name of ['rotator', 'producer', 'consumer', 'join']) {
    for (const [command, ...args] of commands) {
      await expect(client(name).call(command, ...args), `${name}: ${command}`).rejects.toThrow(denied);
    }
  }
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(worker.json().filter(({ level }) => Number(level) >= 40)).toEqual([]);
});
