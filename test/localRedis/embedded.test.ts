import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type EmbeddedRedis,
  embeddedSocket,
  isEmbeddedRunning,
  startEmbeddedRedis,
} from '../../src/localRedis/embedded.ts';
import { endProcess, identifyProcess, isRunning } from '../../src/localRedis/process.ts';
import { connectRedis } from '../../src/redis/connection.ts';
import type { RedisClient } from '../../src/redis/scripts.ts';
import { until } from '../support/until.ts';
import { startOwner } from './owner.ts';

/** A folder for the test; a server that still runs in its `data` at the end is stopped. */
function makeFolder(): { folder: string; data: string } {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-embedded-'));
  const data = join(folder, 'data');
  onTestFinished(async () => {
    const noted = existsSync(join(data, 'embedded.json')) ? readNote(data) : null;
    if (noted?.server) await endProcess(noted.server, 5_000);
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, data };
}

function readNote(data: string) {
  return JSON.parse(readFileSync(join(data, 'embedded.json'), 'utf8'));
}

async function start(dataDir: string): Promise<EmbeddedRedis> {
  const redis = await startEmbeddedRedis({ dataDir, env: process.env, say: () => {} });
  onTestFinished(() => redis.stop());
  return redis;
}

async function withClient<T>(path: string, use: (client: RedisClient) => Promise<T>): Promise<T> {
  const client = await connectRedis({ path });
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

const running = (pid: number) => isRunning(identifyProcess(pid));

describe('an embedded Redis', () => {
  it('keeps its data between runs, and leaves no process and no taken lock behind', async () => {
    const { data } = makeFolder();
    const first = await start(data);
    expect(first.adopted).toBe(false);
    await withClient(first.path, (client) => client.set('kept', 'yes'));
    await first.stop();
    expect(running(first.pid)).toBe(false);
    expect(readdirSync(data).sort()).toEqual(['appendonlydir', expect.stringMatching(/^lock/), 'redis.log']);

    const second = await start(data);
    expect(await withClient(second.path, (client) => client.get('kept'))).toBe('yes');
    expect(second.adopted).toBe(false);
    await second.stop();
  });

  it('is reachable only by its owner and only on its socket, and evicts no key', async () => {
    const { data } = makeFolder();
    const redis = await start(data);
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
    expect([mode(data), mode(join(data, 'redis.sock')), mode(join(data, 'embedded.json'))]).toEqual([
      '700',
      '700',
      '600',
    ]);
    const settings = ['port', 'appendonly', 'appendfsync', 'maxmemory-policy', 'save'];
    const values = await withClient(redis.path, (client) =>
      Promise.all(settings.map(async (name) => ((await client.config('GET', name)) as string[])[1])),
    );
    expect(values).toEqual(['0', 'yes', 'everysec', 'noeviction', '']);
  });

  it('is reachable by a relative path as well as by an absolute one', async () => {
    const { data } = makeFolder();
    await start(data);
    const absolute = join(data, 'redis.sock');
    for (const path of [absolute, relative(process.cwd(), absolute)]) {
      expect(await withClient(path, (client) => client.ping())).toBe('PONG');
    }
  });

  it('inherits only the environment variables that it needs', async ({ skip }) => {
    const { data } = makeFolder();
    const env = { ...process.env, RYZE_TOKEN: 'a-token-to-keep' };
    const redis = await startEmbeddedRedis({ dataDir: data, env, say: () => {} });
    onTestFinished(() => redis.stop());
    if (process.platform !== 'linux') skip();
    expect(readFileSync(`/proc/${redis.pid}/environ`, 'utf8')).not.toContain('RYZE_TOKEN');
  });

  it('is visible to other commands only while its owner runs', async () => {
    const { folder, data } = makeFolder();
    expect(isEmbeddedRunning(data)).toBe(false);
    const owner = startOwner({ folder });
    await owner.started;
    expect(isEmbeddedRunning(data)).toBe(true);
    owner.child.kill('SIGKILL');
    await owner.ended;
    expect(isEmbeddedRunning(data)).toBe(false);
  });

  it('is not ended by Ctrl-C', async () => {
    const { data } = makeFolder();
    const redis = await start(data);
    // It has a process group of its own, so signals from a terminal to ours do not reach it.
    expect(() => process.kill(-redis.pid, 0)).not.toThrow();
  });
});

describe('the owner of a folder', () => {
  it('was killed: the next one adopts its server with all data, and ends it when it stops', async () => {
    const { folder, data } = makeFolder();
    const owner = startOwner({ folder });
    const { pid } = await owner.started;
    await withClient(embeddedSocket(data), (client) => client.set('kept', 'yes'));
    owner.child.kill('SIGKILL');
    await owner.ended;
    expect(running(pid!)).toBe(true);

    const next = await start(data);
    expect(next).toMatchObject({ adopted: true, pid });
    expect(await withClient(next.path, (client) => client.get('kept'))).toBe('yes');
    await next.stop();
    expect(running(pid!)).toBe(false);
    expect(readdirSync(data).sort()).toEqual(['appendonlydir', expect.stringMatching(/^lock/), 'redis.log']);
  });

  it.each([
    ['before it noted its server', (data: string) => noteServer(data, null)],
    ['and its note was lost', (data: string) => rmSync(join(data, 'embedded.json'))],
    [
      'and the id of its server belongs to another process now',
      (data: string) => noteServer(data, identifyProcess(process.pid)),
    ],
  ])('was killed %s: its server is found by the socket', async (_case, tamper) => {
    const { folder, data } = makeFolder();
    const owner = startOwner({ folder });
    const { pid } = await owner.started;
    owner.child.kill('SIGKILL');
    await owner.ended;
    tamper(data);
    const next = await start(data);
    expect(next).toMatchObject({ adopted: true, pid });
    await next.stop();
  });

  function noteServer(data: string, server: ReturnType<typeof identifyProcess> | null): void {
    const noted = readNote(data);
    const stale = server === null ? null : { ...server, startedAt: 'long ago' };
    writeFileSync(join(data, 'embedded.json'), JSON.stringify({ ...noted, server: stale }));
  }

  it('was killed with its server: the socket and the note that they left do not matter', async () => {
    const { folder, data } = makeFolder();
    const owner = startOwner({ folder });
    const { pid } = await owner.started;
    owner.child.kill('SIGKILL');
    process.kill(pid!, 'SIGKILL');
    await owner.ended;
    await until('the server to end', () => !running(pid!));
    expect(existsSync(join(data, 'redis.sock'))).toBe(true);
    const next = await start(data);
    expect(next.adopted).toBe(false);
    await next.stop();
  });

  it('was killed and the socket removed: its server is ended, so that two never write the same files', async () => {
    const { folder, data } = makeFolder();
    const owner = startOwner({ folder });
    const { pid } = await owner.started;
    await withClient(embeddedSocket(data), (client) => client.set('kept', 'yes'));
    owner.child.kill('SIGKILL');
    await owner.ended;
    rmSync(join(data, 'redis.sock'));
    const next = await start(data);
    expect(next.adopted).toBe(false);
    expect(running(pid!)).toBe(false);
    expect(await withClient(next.path, (client) => client.get('kept'))).toBe('yes');
    await next.stop();
  });

  it('is alive: a second one is rejected with its pid, and does it no harm', async () => {
    const { folder, data } = makeFolder();
    const redis = await start(data);
    expect(await startOwner({ folder }).started).toEqual({
      name: 'RedisStartError',
      message: `./data is in use by another invite-rotator (pid ${process.pid}): stop it, or set REDIS_URL for both`,
    });
    await expect(start(data)).rejects.toThrow(`is in use by another invite-rotator (pid ${process.pid})`);
    expect(await withClient(redis.path, (client) => client.ping())).toBe('PONG');
    await redis.stop();
  });

  it('is one process, however many start at once', async () => {
    const { folder } = makeFolder();
    const owners = Array.from({ length: 5 }, () => startOwner({ folder }));
    const outcomes = await Promise.all(owners.map(({ started }) => started));
    expect(outcomes.filter(({ pid }) => pid !== undefined)).toHaveLength(1);
    for (const { message } of outcomes.filter(({ pid }) => pid === undefined)) expect(message).toMatch(/is in use by/);
    const winner = owners[outcomes.findIndex(({ pid }) => pid !== undefined)]!;
    winner.child.kill('SIGTERM');
    await winner.ended;
  });
});

describe('one clear line says', () => {
  it('that there is a file where the folder should be', async () => {
    const { data } = makeFolder();
    writeFileSync(data, '');
    await expect(start(data)).rejects.toThrow(
      `cannot use ${data} for the embedded Redis: a file with that name exists`,
    );
    await expect(start(join(data, 'below'))).rejects.toThrow('a file is where a folder should be');
  });

  it('that the folder is not writable', async () => {
    const { folder, data } = makeFolder();
    mkdirSync(data);
    // Root may write everywhere, so another user tries.
    const uid = process.getuid!() === 0 ? 65_534 : undefined;
    chmodSync(folder, 0o755);
    chmodSync(data, 0o555);
    expect(await startOwner({ folder, ...(uid === undefined ? {} : { uid }) }).started).toEqual({
      name: 'RedisStartError',
      message: 'cannot use ./data for the embedded Redis: permission denied',
    });
  });

  it('that the path is too long for a socket, if there is no shorter one', async () => {
    const { folder } = makeFolder();
    const deep = join(folder, 'a'.repeat(60), 'b'.repeat(60));
    await expect(start(deep)).rejects.toThrow(
      `the path of ${join(deep, 'redis.sock')} is too long for a socket: use a directory with a shorter path, or set REDIS_URL`,
    );
    expect(existsSync(deep)).toBe(false);
  });

  it('nothing if a relative path is short enough', async () => {
    const { folder } = makeFolder();
    const deep = join(folder, 'a'.repeat(60), 'b'.repeat(60));
    mkdirSync(deep, { recursive: true });
    const owner = startOwner({ folder: deep });
    expect(await owner.started).toMatchObject({ path: 'data/redis.sock', adopted: false });
    owner.child.kill('SIGTERM');
    await owner.ended;
  });

  it('what the server logged about a broken append-only file, which stays as it is', async () => {
    const { data } = makeFolder();
    const redis = await start(data);
    await withClient(redis.path, (client) => client.set('kept', 'yes'));
    await redis.stop();
    const folder = join(data, 'appendonlydir');
    const broken = join(folder, readdirSync(folder).find((name) => name.endsWith('.incr.aof'))!);
    writeFileSync(broken, 'this is no append-only file\r\n');
    const failure = await start(data).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: 'RedisStartError' });
    expect((failure as Error).message).toMatch(
      /^the embedded Redis exited at once: Bad file format reading the append only file .*\(see .*redis\.log\)$/,
    );
    expect(readFileSync(broken, 'utf8')).toBe('this is no append-only file\r\n');
    expect(existsSync(join(data, 'embedded.json'))).toBe(false);
  });

  it("that another program's server answers on the socket", async ({ skip }) => {
    if (process.platform !== 'linux') skip();
    const { folder, data } = makeFolder();
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const stranger = startOwner({ folder: elsewhere });
    const { pid } = await stranger.started;
    onTestFinished(() => endProcess(identifyProcess(pid!), 5_000));
    mkdirSync(data);
    symlinkSync(join(elsewhere, 'data', 'redis.sock'), join(data, 'redis.sock'));
    await expect(start(data)).rejects.toThrow('belongs to a Redis that invite-rotator did not start: stop it first');
    expect(running(pid!)).toBe(true);
    stranger.child.kill('SIGTERM');
    await stranger.ended;
  });
});
