/** A tick with up to 2,000 instances, each with something due, at a round trip of 2 ms to Redis. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { createBudget } from '../../src/budget/budget.ts';
import { openQueues } from '../../src/bullmq/queues.ts';
import { rotationsQueue } from '../../src/contract/queueNames.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { tick } from '../../src/planner/planner.ts';
import { promoteWaiting } from '../../src/planner/promote.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { counted, fail, timed } from '../support/measure.ts';
import { startChild } from '../support/process.ts';
import { adoptAll, jidOf, parse } from './ticks.ts';

export interface ManyTicks {
  readonly instances: number;
  readonly tokens: 'own' | 'shared';
  readonly idleMs: number;
  readonly idleCommands: number;
  readonly dueMs: number;
  readonly released: number;
  /** The longest time for which the event loop was blocked. */
  readonly blockedMs: number;
}

export async function measureManyInstances(count: number, tokens: 'own' | 'shared'): Promise<ManyTicks> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const path = resolve(embedded.path);
  const direct = new Redis({ path, maxRetriesPerRequest: null });
  let port = 0;
  const proxy = await startChild(
    [fileURLToPath(new URL('../support/delayProxy.js', import.meta.url))],
    { REDIS_PATH: path, DELAY_MS: '1' },
    (line) => {
      port = Number(line);
    },
    (line) => /^\d+$/.test(line),
  );
  const redis = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null });
  const queues = openQueues({ redis, prefix: 'bull', queueName: rotationsQueue });
  try {
    const config = parse(yaml(count));
    const [own, far] = [createDatabase(direct, 'bull'), createDatabase(redis, 'bull')];
    const store = createGroupStore(own);
    const file = await groupsFile(config);
    const files = createWorkerFiles(own);
    await syncRegistry({ ...own, store, files }, file.groups, await files.announce(file));
    await adoptAll(store, config);
    const tokenOf = (name: string) => (tokens === 'own' ? `token of ${name}` : 'a token');
    const budget = createBudget(far, { callTimeoutMs: 30_000 });
    const deps = {
      ...far,
      store: createGroupStore(far),
      budget,
      config,
      tokenOf,
      queueOf: queues.queueOf,
      onFailure: fail,
    };
    const run = async () => {
      const { released } = await tick(deps);
      await promoteWaiting(deps, () => true);
      return released;
    };
    for (let i = 0; i < 5; i++) await run();
    const [idleCommands, [idleMs]] = await counted(direct, () => timed(run));
    const due: number[] = [];
    let released = 0;
    let blockedMs = 0;
    for (let i = 0; i < 3; i++) {
      for (let n = 0; n < count; n++) {
        await store.update(jidOf(n), (record, nowMs) => ({ record: { ...record, dueAt: nowMs - 1 }, result: null }));
      }
      const watch = watchEventLoop();
      const [ms, done] = await timed(run);
      blockedMs = Math.max(blockedMs, watch.stop());
      due.push(ms);
      released = done;
      await Promise.all(config.instances.map(({ name }) => direct.del(...jobKeys(name))));
    }
    const dueMs = due.sort((a, b) => a - b)[1] ?? 0;
    return { instances: count, tokens, idleMs, idleCommands, dueMs, released, blockedMs };
  } finally {
    await queues.close();
    redis.disconnect();
    await proxy.stop();
    direct.disconnect();
    await embedded.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The longest time between two turns of the event loop. */
function watchEventLoop() {
  let longest = 0;
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  return {
    stop() {
      clearInterval(timer);
      return longest;
    },
  };
}

/** As if the jobs had been taken. */
function jobKeys(instance: string): string[] {
  return ['wait', 'prioritized', 'delayed'].map((state) => `bull:${rotationsQueue(instance)}:${state}`);
}

function yaml(count: number): string {
  const names = Array.from({ length: count }, (_, i) => `bot${i}`);
  return `instances:
${names.map((name) => `  - { name: ${name}, tokenEnv: T, rateLimit: { max: 1000 } }`).join('\n')}
defaults: { firstSeen: wait, every: 30d }
groups:
${names.map((name, i) => `  - { id: g${i}, identifier: ${jidOf(i)}, instance: ${name} }`).join('\n')}
`;
}
