/** A Redis with the records of many groups, and the file of `join`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Redis } from 'ioredis';
import { parseConfig } from '../../src/config/load.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { jidOf } from '../budget/contest.ts';

export const groups = 1_000;

export interface JoinStage {
  /** Environment of `invite-rotator join`. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startStage(): Promise<JoinStage> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: embedded.path, maxRetriesPerRequest: null });
  const file = join(folder, 'rotation.yaml');
  const entries = Array.from({ length: groups }, (_, i) => `  - { id: g${i}, identifier: ${jidOf(i)} }`);
  const text = `instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 7d }
join: { port: 0, publicUrl: https://example.org }
groups:
${entries.join('\n')}
`;
  writeFileSync(file, text);
  await writeRecords(redis, text, file);
  redis.disconnect();
  return {
    env: { REDIS_URL: `unix://${resolve(embedded.path)}`, ROTATOR_CONFIG: file },
    async close() {
      await embedded.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Registers the groups as a worker would, and gives each a link. */
async function writeRecords(redis: Redis, text: string, path: string): Promise<void> {
  const parsed = parseConfig(text, path);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const db = createDatabase(redis, parsed.config.redis.prefix);
  const store = createGroupStore(db);
  const files = createWorkerFiles(db);
  const file = await groupsFile(parsed.config);
  await syncRegistry({ ...db, store, files }, file.groups, await files.announce(file));
  for (let i = 0; i < groups; i++) {
    const link = { code: `CODE${i}`, url: `https://chat.whatsapp.com/CODE${i}` };
    await store.update(jidOf(i), (record, nowMs) => ({
      record: { ...record, link, revision: nowMs, rotatedAt: nowMs, adopt: false },
      result: undefined,
    }));
  }
}
