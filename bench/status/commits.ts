/** The two commits of a rotation, its start and its end, with the indexes of the status and without them. */
import type { GroupRecord } from '../../src/groups/record.ts';
import { statusKeys } from '../../src/groups/statusIndexes.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { counted, timed } from '../support/measure.ts';
import { jidOf, type Stage } from './stage.ts';

export interface CommitCost {
  readonly groups: number;
  readonly withIndexes: { readonly commands: number; readonly ms: number };
  readonly without: { readonly commands: number; readonly ms: number };
  /** Of Redis's memory, for each group. */
  readonly bytes: { readonly indexes: number; readonly record: number };
}

const rotations = 300;

export async function measureCommits(stage: Stage): Promise<CommitCost> {
  const { config } = stage;
  // In turns, so that both meet the same load.
  const first = await measureOne(stage);
  const without = await measureOne(withoutIndexes(stage));
  const again = await measureOne(stage);
  const withIndexes = { commands: first.commands, ms: Math.min(first.ms, again.ms) };
  return { groups: config.groups.length, withIndexes, without, bytes: await measureBytes(stage) };
}

async function measureOne(stage: Stage) {
  const store = createGroupStore(stage);
  const [commands, [ms]] = await counted(stage.redis, () =>
    timed(async () => {
      for (let i = 0; i < rotations; i++) {
        const id = jidOf(i % stage.config.groups.length);
        await store.update(id, (record, nowMs) => ({ record: started(record, nowMs), result: undefined }));
        await store.update(id, (record, nowMs) => ({ record: ended(record, nowMs), result: undefined }));
      }
    }),
  );
  return { commands: commands / rotations, ms: ms / rotations };
}

function started(record: GroupRecord, nowMs: number): GroupRecord {
  const attempt = {
    id: 'a',
    call: 'reset' as const,
    begunAt: nowMs,
    leaseUntil: nowMs + 60_000,
    request: null,
    covers: null,
  };
  return { ...record, attempt };
}

function ended(record: GroupRecord, nowMs: number): GroupRecord {
  const every = record.entry?.schedule.kind === 'every' ? record.entry.schedule.everyMs : 0;
  return {
    ...record,
    attempt: null,
    failure: null,
    rotatedAt: nowMs,
    revision: nowMs,
    dueAt: nowMs + every,
    verifiedAt: nowMs,
  };
}

/** Leaves their writes out of the script's list. */
function withoutIndexes(stage: Stage): Stage {
  const { redis, keys, config } = stage;
  const left = new Set(config.instances.flatMap(({ name }) => statusKeys(keys, name)));
  const filtered = new Proxy(redis, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'evalsha') return typeof value === 'function' ? value.bind(target) : value;
      return (sha: string, count: number, ...rest: string[]) => {
        const [names, args] = [rest.slice(0, count), rest.slice(count)];
        const [checks, json, ...more] = args;
        if (json === undefined) return target.evalsha(sha, count, ...rest);
        const writes = (JSON.parse(json) as [string, number, ...string[]][]).filter(
          ([, key]) => !left.has(names[key - 1] ?? ''),
        );
        return target.evalsha(sha, count, ...names, checks ?? '', JSON.stringify(writes), ...more);
      };
    },
  });
  return { ...stage, redis: filtered };
}

async function measureBytes({ redis, keys, config }: Stage): Promise<CommitCost['bytes']> {
  let indexes = 0;
  for (const { name } of config.instances) {
    for (const key of statusKeys(keys, name)) indexes += (await redis.memory('USAGE', key, 'SAMPLES', 0)) ?? 0;
  }
  const record = (await redis.memory('USAGE', keys.group(jidOf(0)), 'SAMPLES', 0)) ?? 0;
  return { indexes: indexes / config.groups.length, record };
}
