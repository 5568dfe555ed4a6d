/** A separate Redis server with registered groups and no worker, and a library client that uses it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { createRotationClient, type RotationClientOptions } from '../../src/index.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { startRedisServer } from '../support/redisServer.ts';

export interface ProducerRigOptions {
  readonly groups: readonly string[];
  readonly password?: string;
  /** Further arguments of the server. */
  readonly args?: readonly string[];
}

export const queueName = 'rotations-bot';

export async function startProducerRig({ groups, password, args = [] }: ProducerRigOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-producer-'));
  const server = await startRedisServer({
    binary: inject('redisServer'),
    folder,
    args,
    ...(password === undefined ? {} : { password }),
  });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const queue = new Queue(queueName, { connection: redis });
  queue.on('error', () => {});
  queue.setMaxListeners(0);

  return {
    redis,
    server,
    queue,
    async register() {
      const entries = groups.flatMap((group) => [group, JSON.stringify(registrationOf(group))]);
      await redis.hset(makeKeys('bull').registered, ...entries);
    },
    client(options: Partial<RotationClientOptions> = {}) {
      const client = createRotationClient({ connection: server.url, ...options });
      onTestFinished(() => client.close());
      return client;
    },
    /** Answers one-offs as a worker would. */
    async answer(act: (job: Job) => unknown = ({ data }) => resultOf(data.group)) {
      const worker = new Worker(queueName, async (job) => act(job), { connection: redis, concurrency: 5 });
      worker.on('error', () => {});
      onTestFinished(() => worker.close(true));
      await worker.waitUntilReady();
    },
  };
}

function registrationOf(group: string) {
  const schedule = { kind: 'every', everyMs: 3_600_000, timezone: 'UTC', window: null };
  const entry = {
    group,
    instance: 'bot',
    identifier: 'CODE',
    enabled: true,
    schedule,
    queues: [],
    verifyEveryMs: null,
  };
  return { entry, recordId: group, generation: 1, duplicateOf: null, removedAt: null };
}

export function resultOf(group: string) {
  return {
    status: 'rotated',
    group,
    jid: '120363406289005073@g.us',
    inviteCode: `OF${group}`,
    inviteLink: `https://chat.whatsapp.com/OF${group}`,
    revision: 1_763_802_000_123,
    rotatedAt: '2025-11-22T09:00:00.123Z',
  };
}
