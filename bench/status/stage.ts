/** An installation of many groups in a Redis of its own, as a worker leaves it: most links are fresh, some groups are not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Redis } from 'ioredis';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { groupsFile } from '../../src/groups/files.ts';
import { type GroupRecord, newRecord } from '../../src/groups/record.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { createDatabase, type Database } from '../../src/redis/database.ts';

export interface Stage extends Database {
  readonly redis: Redis;
  readonly config: Config;
  close(): Promise<void>;
}

const atOnce = 250;
const dayMs = 86_400_000;

export const jidOf = (i: number) => `12036340628${String(i).padStart(7, '0')}@g.us`;

export async function openStage(groups: number): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: resolve(embedded.path), maxRetriesPerRequest: null });
  const db = createDatabase(redis, 'bull');
  const config = configOf(groups);
  await register(db, config);
  await redis.set(db.keys.statesIndexed, '1');
  return {
    ...db,
    redis,
    config,
    async close() {
      redis.disconnect();
      await embedded.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function configOf(groups: number): Config {
  const lines = Array.from(
    { length: groups },
    (_, i) => `  - { id: group-${i}, identifier: ${jidOf(i)}, instance: bot-${i % 20} }`,
  );
  const instances = Array.from({ length: 20 }, (_, i) => `  - { name: bot-${i}, tokenEnv: T${i} }`);
  const text = `instances:\n${instances.join('\n')}\ndefaults: { every: 30d }\ngroups:\n${lines.join('\n')}\n`;
  const parsed = parseConfig(text, '/rotation.yaml');
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems.slice(0, 3)));
  return parsed.config;
}

async function register(db: Database, config: Config): Promise<void> {
  const store = createGroupStore(db);
  const { groups } = await groupsFile(config);
  const nowMs = Date.now();
  for (let from = 0; from < groups.length; from += atOnce) {
    await Promise.all(
      groups.slice(from, from + atOnce).map(async ({ entry }, i) => {
        const recordId = jidOf(from + i);
        await store.edit(async (reader) => {
          await reader.record(recordId);
          const record = recordOf(from + i, nowMs, entry);
          const registration = { entry, recordId, generation: 1, duplicateOf: null, removedAt: null };
          return {
            records: { [recordId]: record },
            registrations: { [entry.group]: { ...registration, published: null, failures: 0, evicted: false } },
            result: undefined,
          };
        });
      }),
    );
  }
}

/** One in 50 fails, one in 100 is overdue, one in 100 is new. */
function recordOf(i: number, nowMs: number, entry: GroupRecord['entry']): GroupRecord {
  const rotatedAt = nowMs - (i % 25) * dayMs;
  const record: GroupRecord = { ...newRecord, entry, jid: entry?.identifier ?? null, adopt: false, verifiedAt: nowMs };
  if (i % 100 === 7) return { ...record, dueAt: nowMs + dayMs };
  const failure = {
    code: 'not_admin',
    message: 'must be admin',
    httpStatus: 403,
    at: nowMs,
    count: 3,
    nextAttemptAt: null,
  };
  return {
    ...record,
    link: { code: `CODE${i}`, url: `https://chat.whatsapp.com/CODE${i}` },
    revision: rotatedAt,
    reason: 'schedule',
    rotatedAt,
    dueAt: i % 100 === 3 ? nowMs - dayMs : rotatedAt + 30 * dayMs,
    failure: i % 50 === 1 ? failure : null,
  };
}
