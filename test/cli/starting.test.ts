/** Failures around `start`: early signals, its Redis, its output, and the system it runs on. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { identifyProcess, isRunning } from '../../src/localRedis/process.ts';
import { logged, type Run, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { ownServer } from '../support/ownServer.ts';
import { until } from '../support/until.ts';

/** The compiled modules. */
const commands = new URL('../../dist-dev/src/commands', import.meta.url).href;
/** Less than any time limit of the program. */
const promptlyMs = 8_000;

async function endsPromptly(worker: Run, signal: NodeJS.Signals, code: number): Promise<void> {
  worker.child.kill(signal);
  const ended = await until('the end', () => worker.child.exitCode !== null || worker.child.signalCode, {
    withinMs: promptlyMs,
  });
  expect(ended).toBe(true);
  expect(await worker.ended).toBe(code);
}

/** A server on loopback in place of Redis. `asked` resolves at the first command. */
async function standFor(answer: (command: string, socket: Socket) => void) {
  let server: Server;
  const sockets = new Set<Socket>();
  const asked = new Promise<void>((resolve) => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (data) => {
        answer(data.toString('latin1'), socket);
        resolve();
      });
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server!.address() as { port: number };
  return { asked, url: `redis://127.0.0.1:${port}` };
}

describe('a signal before "started"', () => {
  it('is not lost while a command loads', async () => {
    const source = `
      const { endAtSignals } = await import('${commands}/output.js');
      const { stopSignal } = await import('${commands}/context.js');
      const running = setTimeout(() => {}, 60_000);
      endAtSignals();
      process.kill(process.pid, 'SIGTERM');
      process.stdout.write(await stopSignal());
      clearTimeout(running);`;
    const child = execFile(process.execPath, ['--input-type=module', '--eval', source]);
    onTestFinished(() => void child.kill('SIGKILL'));
    const [shown] = await once(child.stdout!, 'data');
    expect(shown).toBe('SIGTERM');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('%s ends a start that waits for an answer of Redis', async (signal) => {
    const { env } = await makeCliRig('ops: off');
    const { asked, url } = await standFor(() => {});
    const worker = run(['start'], { env: { ...env, REDIS_URL: url } });
    await asked;
    await endsPromptly(worker, signal, 0);
  });

  it('ends a start that waits for Redis to load its data', async () => {
    const { env } = await makeCliRig('ops: off');
    const info = 'loading:1\r\nloading_eta_seconds:1000\r\n';
    const { asked, url } = await standFor((command, socket) => {
      const isInfo = command.toLowerCase().includes('info\r\n');
      socket.write(isInfo ? `+OK\r\n$${info.length}\r\n${info}\r\n` : '+OK\r\n');
    });
    const worker = run(['start'], { env: { ...env, REDIS_URL: url } });
    await asked;
    await endsPromptly(worker, 'SIGTERM', 0);
  });

  it('ends a start whose Redis accepts no writes, after logging why', async () => {
    const { env } = await makeCliRig('ops: off');
    const { server } = await ownServer({ args: ['--min-replicas-to-write', '1'] });
    const worker = run(['start'], { env: { ...env, REDIS_URL: server.url } });
    expect(await logged(worker, 'redis.refuses')).toMatchObject({ reason: 'NOREPLICAS' });
    await endsPromptly(worker, 'SIGTERM', 0);
    expect(worker.json().some(({ event }) => event === 'started')).toBe(false);
  });

  it('ends a start whose embedded Redis starts slowly, and ends that Redis', async () => {
    const { env, folder } = await makeCliRig('ops: off');
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'redis-server'), '#!/bin/sh\nexec /bin/sleep 600\n', { mode: 0o755 });
    const { REDIS_URL: _, ...rest } = env;
    const worker = run(['start'], { env: { ...rest, PATH: bin }, cwd: folder });
    const pid = await until('the server', () => notedServer(folder));
    await endsPromptly(worker, 'SIGTERM', 0);
    expect(isRunning(identifyProcess(pid))).toBe(false);
    expect(existsSync(join(folder, 'data', 'embedded.json'))).toBe(false);
  });
});

describe('a signal to an idle worker', () => {
  it('ends it although Redis accepts no writes', async () => {
    const { env } = await makeCliRig('ops: off');
    const { server, redis } = await ownServer();
    const worker = run(['start'], { env: { ...env, REDIS_URL: server.url } });
    await logged(worker, 'link.adopted');
    await redis.config('SET', 'min-replicas-to-write', '1');
    await logged(worker, 'redis.refuses');
    await endsPromptly(worker, 'SIGTERM', 0);
  });

  it('ends it although Redis is gone', async () => {
    const { env } = await makeCliRig('ops: off');
    const { server } = await ownServer();
    const worker = run(['start'], { env: { ...env, REDIS_URL: server.url } });
    await logged(worker, 'link.adopted');
    await server.stop();
    await logged(worker, 'redis.lost');
    await endsPromptly(worker, 'SIGTERM', 0);
  });
});

it('prints what Redis refuses, and exits', async () => {
  const { env } = await makeCliRig('ops: off');
  const { server, redis } = await ownServer();
  const url = { ...env, REDIS_URL: server.url };
  const worker = run(['start'], { env: url });
  await logged(worker, 'started');
  await redis.config('SET', 'min-replicas-to-write', '1');
  const command = run(['rotate', 'vip'], { env: url });
  expect(await command.ended).toBe(1);
  const why = 'too few replicas are connected (min-replicas-to-write)';
  expect(command.stderr.split('\n')).toEqual([
    `Redis refuses commands: ${why}; waiting`,
    expect.stringMatching(/^Redis refuses \w+: too few replicas are connected \(min-replicas-to-write\)$/),
    '',
  ]);
});

function notedServer(folder: string): number | null {
  try {
    return JSON.parse(readFileSync(join(folder, 'data', 'embedded.json'), 'utf8')).server?.pid ?? null;
  } catch {
    return null;
  }
}

describe('a replica as Redis', () => {
  it.each([['start'], ['rotate', 'vip'], ['consume']])('is refused in one line by %s', async (...args) => {
    const { env } = await makeCliRig('ops: off');
    const { server } = await ownServer({ args: ['--replicaof', '127.0.0.1', '1'] });
    const command = run(args, { env: { ...env, REDIS_URL: server.url } });
    expect(await command.ended).toBe(1);
    expect(command.stderr).toBe(
      'this Redis is a replica and takes no writes: name its primary (127.0.0.1:1) instead\n',
    );
  });
});

it.each([
  [
    'a command',
    ['~*', '-evalsha'],
    "Redis refuses evalsha: NOPERM this user has no permissions to run the 'evalsha' command",
  ],
  ['a key', ['~other:*'], /^Redis refuses \w+ test-[\w-]+:\S+: NOPERM .* keys used as arguments$/],
])('names the missing permission in one line: %s', async (_case, rights, message) => {
  const { env } = await makeCliRig('ops: off');
  const { server, redis } = await ownServer();
  await redis.call('ACL', 'SETUSER', 'rotator', 'on', '>secret', '&*', '+@all', ...rights);
  const url = server.url.replace('redis://', 'redis://rotator:secret@');
  const worker = run(['start'], { env: { ...env, REDIS_URL: url } });
  expect(await worker.ended).toBe(1);
  expect(worker.stderr.trimEnd()).toMatch(message);
});

describe('an embedded Redis', () => {
  const startEmbedded = async () => {
    const rig = await makeCliRig('ops: off');
    const { REDIS_URL: _, ...env } = rig.env;
    const worker = run(['start'], { env, cwd: rig.folder });
    await logged(worker, 'started');
    onTestFinished(async () => {
      worker.child.kill('SIGTERM');
      await worker.ended;
    });
    return { ...rig, env, worker };
  };

  it('that dies is restarted with its data, and work continues', async () => {
    const { folder, env, worker, standIn } = await startEmbedded();
    const resets = () => standIn.log.of({ endpoint: 'reset' });
    expect(await run(['rotate', 'vip', '--wait'], { env, cwd: folder }).ended).toBe(0);
    const pid = notedServer(folder)!;
    process.kill(pid, 'SIGKILL');
    expect(await logged(worker, 'redis.embedded.died')).toMatchObject({ level: 50, pid });
    await until('another server', () => notedServer(folder) !== pid && notedServer(folder));
    await until('Redis to be back', () => worker.json().some(({ event }) => event === 'redis.back'));
    const again = run(['rotate', 'vip', '--wait', '--json'], { env, cwd: folder });
    expect([await again.ended, again.stderr]).toEqual([0, '']);
    expect(resets()).toHaveLength(2);
    const second = notedServer(folder)!;
    await endsPromptly(worker, 'SIGTERM', 0);
    expect(isRunning(identifyProcess(second))).toBe(false);
  });

  it('ends together with a start that a second signal ends', async () => {
    const { folder, env, worker, standIn } = await startEmbedded();
    standIn.faults.next({ kind: 'slow', ms: 20_000 }, { endpoint: 'reset' });
    expect(await run(['rotate', 'vip'], { env, cwd: folder }).ended).toBe(0);
    await until('the call', () => standIn.log.of({ endpoint: 'reset' }).length === 1);
    const mark = identifyProcess(notedServer(folder)!);
    worker.child.kill('SIGTERM');
    await logged(worker, 'stopping');
    await endsPromptly(worker, 'SIGINT', 1);
    await until('the server to end', () => !isRunning(mark));
  });
});

describe('output that cannot be written', () => {
  const work = async (worker: Run, rig: Awaited<ReturnType<typeof makeCliRig>>) => {
    const { env, standIn } = rig;
    await until('the first read', () => standIn.log.of({ endpoint: 'info' }).length > 0);
    expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
    expect(standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
    await endsPromptly(worker, 'SIGINT', 0);
    expect(worker.stderr).toBe('');
  };

  it('does not end the work: a closed pipe', async () => {
    const rig = await makeCliRig('ops: off');
    const worker = run(['start'], { env: rig.env });
    worker.child.stdout?.destroy();
    await work(worker, rig);
  });

  it.skipIf(!existsSync('/dev/full'))('does not end the work: a full disk', async () => {
    const rig = await makeCliRig('ops: off');
    const worker = run(['start'], { env: rig.env, stdout: openSync('/dev/full', 'w') });
    await work(worker, rig);
  });

  it('does not end the work: no reader', async () => {
    const rig = await makeCliRig('ops: off');
    const worker = run(['start'], { env: { ...rig.env, LOG_LEVEL: 'trace' } });
    worker.child.stdout?.pause();
    await work(worker, rig);
  });

  it('is not an error of a command whose reader closes the pipe', async () => {
    const { env } = await makeCliRig('ops: off');
    const check = run(['check', '--preview', '200d', '--json'], { env });
    check.child.stdout?.destroy();
    expect([await check.ended, check.stderr]).toEqual([0, '']);
  });
});

it('serves its pages although the system hides the addresses of the machine', async () => {
  const { env } = await makeCliRig('ops: { host: 0.0.0.0, port: 0 }');
  const preload = `import os from 'node:os'; import { syncBuiltinESMExports } from 'node:module';
    os.networkInterfaces = () => { throw new Error('uv_interface_addresses returned Unknown system error 97'); };
    syncBuiltinESMExports();`;
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(preload)}`;
  const worker = run(['start'], { env: { ...env, NODE_OPTIONS } });
  await logged(worker, 'started');
  const { url } = await logged(worker, 'ops.listening');
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  await endsPromptly(worker, 'SIGTERM', 0);
});

it('reads the new password from its file when its connections are killed', async () => {
  const { folder, env, standIn } = await makeCliRig('ops: off');
  const { server, redis } = await ownServer({ password: 'old-secret' });
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'old-secret');
  const file = readFileSync(env.ROTATOR_CONFIG, 'utf8').replace(
    /^redis: .*$/m,
    `redis: { url: "redis://127.0.0.1:${server.port}", passwordFile: password }`,
  );
  writeFileSync(env.ROTATOR_CONFIG, file);
  const { REDIS_URL: _, ...rest } = env;
  const worker = run(['start'], { env: rest });
  await logged(worker, 'started');
  writeFileSync(passwordFile, 'new-secret');
  await redis.config('SET', 'requirepass', 'new-secret');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  const producer = new Redis(`redis://:new-secret@127.0.0.1:${server.port}`, { maxRetriesPerRequest: null });
  onTestFinished(() => producer.disconnect());
  const queue = new Queue('rotations-bot', { connection: producer });
  onTestFinished(() => queue.close());
  const job = await queue.add('rotate', { group: 'vip' });
  await until('the one-off to be done', async () => (await job.getState()) === 'completed');
  expect(standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
  await endsPromptly(worker, 'SIGTERM', 0);
  expect(worker.stdout).not.toMatch(/old-secret|new-secret/);
});
