/** Makes groups as a worker leaves them, with the program's own code: registered, read once, then rotated. */
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import type { GroupRecord } from '../../src/groups/record.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import type { GroupStore } from '../../src/groups/store.ts';
import type { Database } from '../../src/redis/database.ts';
import { newRevision } from '../../src/rotation/revision.ts';
import { jidOf } from '../budget/contest.ts';

/** What one phone administers at most in the simulation. */
export const groupsEach = 1_000;
/** Records written at the same time. */
const atOnce = 250;

export const tokenOf = (instance: string) => `token-of-${instance}`;

/** A file with that many groups, without its text: what it costs to read is measured elsewhere. */
export function configOf(groups: number): Config {
  const instances = Array.from({ length: Math.ceil(groups / groupsEach) }, (_, i) => `bot${i}`);
  const yaml = `instances:
${instances.map((name) => `  - { name: ${name}, tokenEnv: TOKEN }`).join('\n')}
defaults: { every: 7d }
groups: [{ id: g0, identifier: ${jidOf(0)}, instance: bot0 }]`;
  const parsed = parseConfig(yaml, '/rotation.yaml');
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems[0]));
  const [example] = parsed.config.groups;
  if (example === undefined) throw new Error('the file has no group');
  const all = Array.from({ length: groups }, (_, i) => ({
    ...example,
    id: `g${i}`,
    identifier: { kind: 'jid' as const, jid: jidOf(i) },
    instance: instances[i % instances.length] ?? '',
  }));
  return { ...parsed.config, groups: all };
}

/** What a worker does with a new file. */
export async function register(db: Database, store: GroupStore, config: Config): Promise<void> {
  const files = createWorkerFiles(db);
  const file = await groupsFile(config);
  await syncRegistry({ ...db, store, files }, file.groups, await files.announce(file));
}

export async function inBatches(groups: number, act: (group: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < groups; from += atOnce) {
    const count = Math.min(atOnce, groups - from);
    await Promise.all(Array.from({ length: count }, (_, i) => act(from + i)));
  }
}

/** As the first read leaves it: its live link is published. */
export async function adopt(store: GroupStore, group: number): Promise<void> {
  await commit(store, group, 0, 'adopted', (record) => ({ ...record, readDueAt: null }));
}

/** As a scheduled reset leaves it. */
export async function rotate(store: GroupStore, group: number, number: number): Promise<void> {
  await commit(store, group, number, 'schedule', (record) => record);
}

async function commit(
  store: GroupStore,
  group: number,
  number: number,
  reason: 'adopted' | 'schedule',
  prepare: (record: GroupRecord) => GroupRecord,
): Promise<void> {
  const jid = jidOf(group);
  await store.update(jid, (stored, nowMs) => {
    const reset = reason === 'adopted' ? null : { begunAt: nowMs, request: null, covers: null };
    const link = { jid, inviteCode: codeOf(group, number) };
    const { record, events } = newRevision(prepare(stored), link, reason, reset, nowMs);
    return { record, events, result: undefined };
  });
}

/** As long as a code of WhatsApp. */
function codeOf(group: number, number: number): string {
  return `L${number.toString(36)}x${group.toString(36)}`.padEnd(22, 'Z');
}
