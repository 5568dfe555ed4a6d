/** The planner on a prefix of its own, with registered groups. Asserts nothing itself. */
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { createBudget } from '../../src/budget/budget.ts';
import { parseConfig } from '../../src/config/load.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import type { GroupRecord } from '../../src/groups/record.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { type Tick, tick } from '../../src/planner/planner.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

export const jid = (n: number) => `1203634062890${String(n).padStart(5, '0')}@g.us`;

export interface PlannerRigOptions {
  readonly count?: number;
  /** More settings of each instance, after a comma. */
  readonly instance?: string;
  readonly rateLimit?: string;
  readonly defaults?: string;
  readonly instances?: number;
  readonly verify?: string;
  /** Whether the groups' links are known and published, as some time after the first start. */
  readonly adopted?: boolean;
  /** Whether each instance has a token of its own. Default: all share one. */
  readonly ownTokens?: boolean;
  /** A Redis of the test's own. */
  readonly on?: Redis;
  /** Where Redis's clock starts if the test moves it. 0: the real clock. */
  readonly clockAt?: number;
}

/** By default, groups of one instance, all due. The limit is 12 a minute, 2 of them in reserve. */
export async function plannerRig({
  count = 30,
  instance = '',
  rateLimit = '{ max: 12, reserve: 2 }',
  defaults = 'every: 1d, firstSeen: rotate',
  instances = 1,
  verify = 'off',
  adopted = true,
  ownTokens = false,
  on,
  clockAt = 0,
}: PlannerRigOptions = {}) {
  const base = on === undefined ? testRedis() : { redis: on, prefix: 'own', keys: makeKeys('own') };
  const { prefix } = base;
  const clock = virtualRedis(base.redis, `${prefix}:clock`);
  if (clockAt > 0) clock.setTime(clockAt);
  const db = { ...base, redis: clockAt > 0 ? clock.redis : base.redis };
  const names = Array.from({ length: instances }, (_, i) => `bot${i}`);
  const parsed = parseConfig(
    `instances: [${names.map((name) => `{ name: ${name}, tokenEnv: T, rateLimit: ${rateLimit}${instance} }`).join(', ')}]
defaults: { ${defaults} }
groups: [${Array.from({ length: count }, (_, i) => `{ id: g${i}, identifier: ${jid(i)}, instance: bot${i % instances} }`).join(', ')}]
verify: ${verify}`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const { config } = parsed;
  const store = createGroupStore(db);
  const budget = createBudget(db, { callTimeoutMs: 1_000 });
  const files = createWorkerFiles(db);
  const file = await groupsFile(config);
  await syncRegistry({ ...db, store, files }, file.groups, await files.announce(file));
  const queues = new Map(
    names.map((name) => [name, new Queue(`rotations-${name}`, { connection: base.redis, prefix })]),
  );
  onTestFinished(async () => {
    for (const queue of queues.values()) await queue.close();
  });

  const change = (n: number, over: (record: GroupRecord, nowMs: number) => Partial<GroupRecord>) =>
    store.update(jid(n), (record, nowMs) => ({ record: { ...record, ...over(record, nowMs) }, result: undefined }));
  const changeAll = async (over: (record: GroupRecord, nowMs: number) => Partial<GroupRecord>) => {
    for (let n = 0; n < count; n++) await change(n, over);
  };
  if (adopted) {
    const link = { code: 'C', url: 'U' };
    await changeAll((_, nowMs) => ({ link, revision: 1, adopt: false, readDueAt: null, verifiedAt: nowMs }));
  }

  const failures: { readonly instances: readonly string[]; readonly error: unknown }[] = [];
  const onFailure = (of: readonly string[], error: unknown) => void failures.push({ instances: of, error });
  const tokenOf = (name: string) => (ownTokens ? `token-of-${name}` : 'a-token');
  const queueOf = (name: string) => queues.get(name)!;
  return {
    ...base,
    /** The planner's client, with the clock that the test moves. */
    clocked: db.redis,
    config,
    store,
    budget,
    queueOf,
    tokenOf,
    onFailure,
    /** What `onFailure` was called with. */
    failures,
    change,
    changeAll,
    setTime: clock.setTime,
    /** Waiting jobs in the order in which a worker takes them: `[name, group]`. */
    released: async (name = 'bot0'): Promise<[string, string][]> =>
      (await queueOf(name).getJobs(['wait', 'prioritized'], 0, -1, true)).map((job) => [job.name, job.data.group]),
    plan: (): Promise<Tick> => tick({ ...db, store, budget, config, tokenOf, queueOf, onFailure }),
    /** Makes a group overdue by this time. */
    overdue: (n: number, ms: number) => change(n, (_, nowMs) => ({ dueAt: nowMs - ms })),
  };
}
