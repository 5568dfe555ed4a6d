/** The cost of a tick, of loading the file and of an edit, by the number of groups. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { createBudget } from '../../src/budget/budget.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore, type GroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { tick } from '../../src/planner/planner.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { counted, fail, repeated, timed } from '../support/measure.ts';

export interface TickCosts {
  readonly groups: number;
  readonly parseMs: number;
  readonly loadMs: number;
  readonly editMs: number;
  /** Redis commands for an edit of one group. */
  readonly editCommands: number;
  readonly idleTickMs: number;
  readonly idleCommands: number;
  /** With ten groups due. */
  readonly dueTickMs: number;
  readonly dueCommands: number;
  readonly heapMb: number;
}

const ticks = 30;
const due = 10;

export async function measureTicks(count: number): Promise<TickCosts> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: resolve(embedded.path), maxRetriesPerRequest: null });
  const db = createDatabase(redis, 'bull');
  const store = createGroupStore(db);
  const queue = new Queue('rotations-bot', { connection: redis });
  const budget = createBudget(db, { callTimeoutMs: 30_000 });
  try {
    const heapBefore = heapMb();
    const [parseMs, config] = await timed(() => parse(yaml(count)));
    const files = createWorkerFiles(db);
    /** What a worker does to apply a file. */
    const sync = async (next: Config) => {
      const file = await groupsFile(next);
      return await syncRegistry({ ...db, store, files }, file.groups, await files.announce(file));
    };
    const [syncMs] = await timed(() => sync(config));
    const edited = parse(yaml(count).replace('every: 30d', 'every: 29d'));
    const [editCommands, [editMs]] = await counted(redis, () => timed(() => sync(edited)));
    const heap = heapMb() - heapBefore;
    await adoptAll(store, edited);

    const run = () =>
      tick({ ...db, store, budget, config: edited, tokenOf: () => 'a-token', queueOf: () => queue, onFailure: fail });
    for (let i = 0; i < 5; i++) await run();
    const idle = await repeated(redis, ticks, run);
    let next = 0;
    const makeDue = async () => {
      await queue.drain(true);
      for (let i = 0; i < due; i++, next = (next + 1) % count) {
        await store.update(jidOf(next), (record, nowMs) => ({
          record: { ...record, dueAt: nowMs - 1_000 },
          result: undefined,
        }));
      }
    };
    const busy = await repeated(redis, ticks, run, makeDue);
    return {
      groups: count,
      parseMs,
      loadMs: parseMs + syncMs,
      editMs,
      editCommands,
      idleTickMs: idle.ms,
      idleCommands: idle.commands,
      dueTickMs: busy.ms,
      dueCommands: busy.commands,
      heapMb: heap,
    };
  } finally {
    await queue.close();
    redis.disconnect();
    await embedded.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** As first reads leave them: verified next in a day, rotated next in a month. */
export async function adoptAll(store: GroupStore, { groups }: Config): Promise<void> {
  const atOnce = 250;
  for (let from = 0; from < groups.length; from += atOnce) {
    await Promise.all(
      groups.slice(from, from + atOnce).map((_, i) =>
        store.update(jidOf(from + i), (record, nowMs) => ({
          record: {
            ...record,
            link: { code: 'C', url: 'U' },
            revision: nowMs,
            adopt: false,
            readDueAt: null,
            verifiedAt: nowMs,
          },
          result: undefined,
        })),
      ),
    );
  }
}

function heapMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

export function parse(text: string): Config {
  const parsed = parseConfig(text, '/rotation.yaml');
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems[0]));
  return parsed.config;
}

export function jidOf(group: number): string {
  return `120363${String(group).padStart(12, '0')}@g.us`;
}

function yaml(count: number): string {
  const groups = Array.from(
    { length: count },
    (_, i) => `  - id: g${i}\n    identifier: ${jidOf(i)}\n    every: 30d\n`,
  );
  return `instances: [{ name: bot, tokenEnv: T, rateLimit: { max: 1000 } }]\ndefaults: { firstSeen: wait }\ngroups:\n${groups.join('')}`;
}
