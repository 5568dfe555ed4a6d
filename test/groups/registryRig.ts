/** The registry on a prefix of its own, with workers that register files and make calls. Asserts nothing itself. */
import { randomUUID } from 'node:crypto';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { LinkEvent } from '../../src/contract/event.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import type { Attempt, GroupRecord } from '../../src/groups/record.ts';
import { type RegistryChanges, syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { resolveGroup } from '../../src/rotation/resolve.ts';
import { transition } from '../../src/rotation/transition.ts';
import type { Input, Transition } from '../../src/rotation/types.ts';
import type { CallOutcome } from '../../src/ryze/outcome.ts';
import { resetTo, shows } from '../support/outcomes.ts';
import { type TestRedis, testRedis } from '../support/redis.ts';

export const jid = (n: number) => `12036340628900507${n}@g.us`;
export const hourMs = 3_600_000;
const settleTimeMs = 90_000;

/** A file with these groups, each as YAML. */
export function configOf(groups: readonly string[], more = ''): Config {
  const parsed = parseConfig(
    `instances: [{ name: bot, tokenEnv: T }, { name: bot2, tokenEnv: U }]
defaults: { every: 1h, instance: bot }
groups: [${groups.join(', ')}]
${more}`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

/** A group's line in the file. */
export const line = (id: string, identifier: number | string, more = '') =>
  `{ id: ${id}, identifier: ${typeof identifier === 'number' ? jid(identifier) : identifier}${more} }`;

export interface RegistryWorker {
  /** Registers a file with these groups. */
  sync(...groups: string[]): Promise<RegistryChanges>;
  apply(config: Config): Promise<RegistryChanges>;
  stop(): Promise<void>;
}

export function registryRig(base: TestRedis = testRedis()) {
  const { redis, keys } = base;
  const store = createGroupStore(base);

  function worker(): RegistryWorker {
    const files = createWorkerFiles(base);
    const applyConfig: RegistryWorker['apply'] = async (config) => {
      const file = await groupsFile(config);
      const rank = await files.announce(file);
      return await syncRegistry({ ...base, store, files }, file.groups, rank);
    };
    return { apply: applyConfig, sync: (...groups) => applyConfig(configOf(groups)), stop: () => files.withdraw() };
  }

  const recordIdOf = async (id: string) => (await store.registration(id))?.recordId ?? id;
  const recordOf = async (recordId: string) => (await store.load(recordId)).record;

  async function apply(recordId: string, input: Input): Promise<Transition> {
    return await store.update(recordId, (record, nowMs) => {
      const changed = transition(record, input, nowMs, settleTimeMs);
      return { record: changed.record, events: changed.events, result: changed };
    });
  }

  /** Starts an attempt for a group. */
  async function begin(id: string, over: Partial<Attempt> = {}): Promise<Attempt> {
    const recordId = await recordIdOf(id);
    const { nowMs } = await store.load(recordId);
    const mine = {
      id: randomUUID(),
      call: 'reset' as const,
      begunAt: nowMs,
      leaseUntil: nowMs + 10_000,
      request: null,
      covers: null,
    };
    const attempt = { ...mine, ...over };
    await apply(recordId, { kind: 'started', attempt });
    return attempt;
  }
  const end = async (id: string, attempt: Attempt, outcome: CallOutcome | null) =>
    await apply(await recordIdOf(id), { kind: 'ended', attempt, outcome });

  const resolveAs = async (id: string, attempt: Attempt, shown: { jid: string; inviteCode: string | null }) =>
    await resolveGroup(store, id, attempt, shown, settleTimeMs);

  const first = worker();
  return {
    ...base,
    store,
    worker,
    sync: first.sync,
    applyConfig: first.apply,
    registration: store.registration,
    recordOf,
    /** The record of a registered group. */
    record: async (id: string) => await recordOf(await recordIdOf(id)),
    change: async (id: string, over: Partial<GroupRecord>) =>
      await store.update(await recordIdOf(id), (record) => ({ record: { ...record, ...over }, result: undefined })),
    apply,
    begin,
    end,
    /** The first read of a group's link. */
    async adopt(id: string, code: string): Promise<Transition> {
      const attempt = await begin(id, { call: 'adopt' });
      const { jid: known } = await recordOf(await recordIdOf(id));
      return await end(id, attempt, shows(code, known!));
    },
    /** The first read of a group that the file names by a code. It shows the JID and the link. */
    async resolve(id: string, found: string, code: string) {
      return await resolveAs(id, await begin(id, { call: 'adopt' }), { jid: found, inviteCode: code });
    },
    resolveAs,
    async reset(id: string, code: string): Promise<Transition> {
      const attempt = await begin(id);
      const { jid: known } = await recordOf(await recordIdOf(id));
      return await end(id, attempt, resetTo(code, known!));
    },
    /** All committed events, oldest first. */
    async events(): Promise<LinkEvent[]> {
      const lines = await redis.lrange(keys.outbox('invite-links'), 0, -1);
      return lines.map((event) => JSON.parse(event) as LinkEvent);
    },
    /** The record's time in the due index. Null: none. */
    async dueOf(recordId: string, instance = 'bot'): Promise<number | null> {
      return numberOf(await redis.zscore(keys.due(instance), recordId));
    },
    async verificationOf(recordId: string, instance = 'bot'): Promise<number | null> {
      return numberOf(await redis.zscore(keys.verifications(instance), recordId));
    },
    async unsettledOf(recordId: string): Promise<number | null> {
      return numberOf(await redis.zscore(keys.unsettled, recordId));
    },
  };
}

function numberOf(score: string | null): number | null {
  return score === null ? null : Number(score);
}
