/** Fills a Redis with groups, and measures what they cost: time, commands and memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { createBudget } from '../../src/budget/budget.ts';
import { countGroups } from '../../src/groups/counts.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { tick } from '../../src/planner/planner.ts';
import { createDatabase, redisTime } from '../../src/redis/database.ts';
import { fail, repeated, timed } from '../support/measure.ts';
import { adopt, configOf, inBatches, register, rotate, tokenOf } from './groups.ts';
import { type KeyKind, memoryByKind, usedMemory } from './memory.ts';

interface Cost {
  readonly ms: number;
  readonly commands: number;
}

export interface Simulation {
  readonly groups: number;
  readonly instances: number;
  readonly registerMs: number;
  /** Bytes that the groups use in Redis, each with one link. */
  readonly bytes: number;
  readonly kinds: readonly KeyKind[];
  /** Of the tick of one worker that serves every instance. */
  readonly tick: Cost;
  /** Of storing one new link. */
  readonly commit: Cost;
  /** Of counting all groups by state. */
  readonly counts: Cost;
  /** Bytes that another 49 links of each group add. Null: not measured for that many groups. */
  readonly historyBytes: number | null;
}

export const revisions = 50;
/** A history of 50 links takes 50 commits of each group. */
export const maxWithHistory = 1_000;
const runs = 20;
const warmUps = 5;

export async function simulate(groups: number, say: (what: string) => void): Promise<Simulation> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: resolve(embedded.path), maxRetriesPerRequest: null });
  const db = createDatabase(redis, 'bull');
  const store = createGroupStore(db);
  const queues = new Map<string, Queue>();
  const queueOf = (instance: string) => {
    const queue = queues.get(instance) ?? new Queue(`rotations-${instance}`, { connection: redis });
    queues.set(instance, queue);
    return queue;
  };
  try {
    const config = configOf(groups);
    const names = config.instances.map(({ name }) => name);
    const before = await usedMemory(redis);
    say('registering');
    const [registerMs] = await timed(() => register(db, store, config));
    say('reading each link');
    await inBatches(groups, (group) => adopt(store, group));
    // The events of the simulation have no consumer.
    await redis.del(config.results.queues.map(db.keys.outbox));
    const bytes = (await usedMemory(redis)) - before;

    say('measuring');
    const kinds = await memoryByKind(redis, 'bull');
    const budget = createBudget(db, { callTimeoutMs: config.api.timeoutMs });
    const run = () => tick({ ...db, store, budget, config, tokenOf, queueOf, onFailure: fail });
    // The first ticks learn which instances have nothing to do.
    for (let i = 0; i < warmUps; i++) await run();
    const idle = await repeated(redis, runs, run);
    const nowMs = await redisTime(db);
    const counts = await repeated(redis, runs, () => countGroups(db, names, nowMs));
    let next = 0;
    const commit = await repeated(redis, runs, () => rotate(store, next++, 1));
    return {
      groups,
      instances: names.length,
      registerMs,
      bytes,
      kinds,
      tick: idle,
      commit,
      counts,
      historyBytes: groups > maxWithHistory ? null : await growth(),
    };
  } finally {
    await Promise.all([...queues.values()].map((queue) => queue.close()));
    redis.disconnect();
    await embedded.stop();
    rmSync(folder, { recursive: true, force: true });
  }

  async function growth(): Promise<number> {
    say('rotating each group');
    const from = await usedMemory(redis);
    for (let number = 2; number <= revisions; number++) {
      await inBatches(groups, (group) => rotate(store, group, number));
      await redis.del(db.keys.outbox('invite-links'));
    }
    return (await usedMemory(redis)) - from;
  }
}
