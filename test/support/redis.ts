/**
 * Redis for tests: a prefix of its own on the tests' server for each test that asks, emptied when it passed and kept for
 * a look if not; and a proxy that makes a network fail.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { type Keys, makeKeys } from '../../src/redis/keys.ts';
import { until } from './until.ts';

export interface TestRedis {
  readonly redis: Redis;
  readonly url: string;
  readonly prefix: string;
  readonly keys: Keys;
}

/**
 * Call it inside of a test. What is registered to be cleaned up later is cleaned up first; a test that passed but left a
 * worker's connection open, or something that goes on writing, fails here.
 */
export function testRedis(): TestRedis {
  const url = inject('redisUrl');
  const prefix = `test-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  onTestFinished(async ({ task }) => {
    try {
      if (task.result?.state === 'fail') console.error(`keys of this test are kept under ${prefix}:`);
      else await leaveNothing(redis, prefix);
    } finally {
      redis.disconnect();
    }
  });
  return { redis, url, prefix, keys: makeKeys(prefix) };
}

async function leaveNothing(redis: Redis, prefix: string): Promise<void> {
  // BullMQ names a worker's blocking connection after its prefix.
  const open = async () => ((await redis.client('LIST')) as string).match(new RegExp(`name=${prefix}:\\S*`, 'g'));
  await until('every worker of this test to be closed', async () => (await open()) === null, { withinMs: 2_000 });
  const found = await keysOf(redis, prefix);
  if (found.length > 0) await redis.del(...found);
  const left = await keysOf(redis, prefix);
  if (left.length > 0) throw new Error(`something still writes after the test: ${left.join(', ')}`);
}

async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 })) found.push(...(keys as string[]));
  return found;
}

export interface FaultProxy {
  readonly port: number;
  /** Resets every connection; new ones go through. */
  cut(): void;
  /** Resets every connection and refuses new ones. */
  refuse(): Promise<void>;
  /** Swallows everything, on the connections there are and on new ones, which stay open: nobody is told. */
  blackHole(): void;
  /** Holds every piece back for that long, in either direction. */
  delay(ms: number): void;
  /** New connections go through again, at once. What was swallowed stays lost, and its connections dead. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Between a client and what listens on a loopback port. */
export async function createFaultProxy(targetPort: number): Promise<FaultProxy> {
  const open = new Set<Socket>();
  let swallowing = false;
  let delayMs = 0;

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { dead: swallowing };
    join(client, target, pair);
    join(target, client, pair);
  });

  function join(from: Socket, to: Socket, pair: { dead: boolean }): void {
    open.add(from);
    /** Timers of one length fire in order; of two lengths, they need not. */
    let last: Promise<void> = Promise.resolve();
    const pass = (act: () => void) => {
      const held = new Promise((resolve) => setTimeout(resolve, delayMs));
      last = Promise.all([last, held]).then(() => {
        if (!pair.dead) act();
      });
    };
    from.on('data', (chunk) => {
      pair.dead ||= swallowing;
      pass(() => to.write(chunk));
    });
    from.on('end', () => pass(() => to.end()));
    from.on('error', () => {});
    from.on('close', () => {
      open.delete(from);
      if (!pair.dead) to.destroy();
    });
  }

  const reset = () => {
    for (const socket of open) socket.destroy();
  };
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const stopListening = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    reset();
    await closed;
  };

  await listen(0);
  const { port } = server.address() as { port: number };
  return {
    port,
    cut: reset,
    refuse: stopListening,
    blackHole() {
      swallowing = true;
    },
    delay(ms) {
      delayMs = ms;
    },
    async heal() {
      swallowing = false;
      delayMs = 0;
      if (!server.listening) await listen(port);
    },
    async close() {
      await stopListening();
      reset();
    },
  };
}
