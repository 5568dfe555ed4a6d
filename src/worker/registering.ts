/** Registers the groups of the configuration in force in Redis, and says in the log what came of it. */
import { isDeepStrictEqual } from 'node:util';
import { bucketOf } from '../budget/budget.ts';
import type { Config } from '../config/config.ts';
import type { DesiredGroup } from '../groups/entries.ts';
import { createWorkerFiles, type FileRank, type GroupsFile, groupsFile } from '../groups/files.ts';
import { markLost, type RegistryChanges, syncRegistry } from '../groups/registry.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import type { Tokens } from './tokens.ts';

export interface Registering {
  /** Registers what differs. */
  register(config: Config): Promise<void>;
  /** Says that this worker lives and which file it goes by; registers what another worker's file has held up. */
  reconcile(config: Config): Promise<void>;
  /** Groups whose records were deleted, or lost by Redis, begin anew. */
  registerLost(config: Config, recordIds: readonly string[]): Promise<void>;
  reportUnreadable(unreadable: RegistryChanges['unreadable']): void;
  /** Notes which bucket each instance's token has, for those who want to see a budget and know no token. */
  noteBuckets(config: Config): Promise<void>;
  close(): Promise<void>;
}

export interface RegisteringDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly tokens: Tokens;
  readonly log: Logger;
}

/** So many groups, and such a share of all, do not often leave a file on purpose. */
const vanished = { groups: 3, share: 0.2 };
/** Ids named in one log line. */
const maxNamed = 10;

export function createRegistering({ redis, keys, store, tokens, log }: RegisteringDependencies): Registering {
  const files = createWorkerFiles(redis, keys);
  const deps = { redis, keys, store, files };
  let latest: { readonly config: Config; readonly file: GroupsFile } | null = null;
  let rank: FileRank | null = null;
  /** Groups that this process has registered. */
  const known = new Set<string>();
  /** The last registration went through to its end. */
  let isComplete = false;
  /** What the last registration left undone because of another worker's file. */
  let heldUp: Pick<RegistryChanges, 'kept' | 'outdated' | 'unreadable'> = { kept: [], outdated: [], unreadable: [] };

  function fileOf(config: Config): GroupsFile {
    if (latest?.config !== config) latest = { config, file: groupsFile(config) };
    return latest.file;
  }

  const withKnown = (group: DesiredGroup, { api }: Config): DesiredGroup =>
    known.has(nameOf(group)) ? { ...group, settlesInMs: api.settleTimeMs } : group;

  const reportUnreadable: Registering['reportUnreadable'] = (unreadable) => {
    for (const { group, reason } of unreadable) log.error({ event: 'group.unreadable', group }, reason);
  };

  const noteBuckets: Registering['noteBuckets'] = async (config) => {
    const buckets = config.instances.map(({ name }) => [name, bucketOf(tokens.of(name))]);
    await redis.hset(keys.buckets, Object.fromEntries(buckets));
  };

  async function announce(config: Config): Promise<FileRank> {
    const now = await files.announce(fileOf(config));
    if (now.others.length > 0 && !isDeepStrictEqual(now.others, rank?.others)) {
      log.warn(
        { event: 'config.differs', file: now.digest, others: now.others },
        'another worker has a different configuration file: the newer file wins, and groups in only one of them remain registered',
      );
    }
    return now;
  }

  async function sync(config: Config, now: FileRank): Promise<void> {
    isComplete = false;
    await redis.sadd(keys.outboxes, ...config.results.queues);
    await noteBuckets(config);
    const { groups } = fileOf(config);
    const changes = await syncRegistry(
      deps,
      groups.map((group) => withKnown(group, config)),
      now,
    );
    rank = now;
    isComplete = true;
    for (const group of groups) known.add(nameOf(group));
    report(changes, config);
    heldUp = changes;
  }

  function report(changes: RegistryChanges, config: Config): void {
    for (const { group, owner } of changes.duplicates) {
      log.error(
        { event: 'group.duplicate', group, owner },
        `${group} is the same WhatsApp group as ${owner}: it is paused`,
      );
    }
    reportUnreadable(changes.unreadable);
    const { kept, outdated } = changes;
    if (kept.length > 0 && !isDeepStrictEqual(kept, heldUp.kept)) {
      log.warn({ event: 'groups.kept', groups: kept.slice(0, maxNamed), count: kept.length }, keptText(kept));
    }
    if (outdated.length > 0 && !isDeepStrictEqual(outdated, heldUp.outdated)) {
      const groups = outdated.slice(0, maxNamed);
      log.warn({ event: 'groups.outdated', groups, count: outdated.length }, outdatedText(outdated));
    }
    const [added, changed, removed] = [changes.added.length, changes.changed.length, changes.removed.length];
    if (removed >= vanished.groups && removed >= vanished.share * (removed + config.groups.length)) {
      const groups = changes.removed.slice(0, maxNamed);
      log.error(
        { event: 'groups.vanished', groups, removed },
        `${removed} groups are not in the file any more: if that is not meant, put them back; their history is kept for 30 days`,
      );
    }
    log.info({ event: 'registry.synced', added, changed, removed }, `${config.groups.length} groups in force`);
  }

  return {
    async register(config) {
      await sync(config, await announce(config));
    },
    async reconcile(config) {
      const now = await announce(config);
      const isHeldUp = heldUp.kept.length > 0 || heldUp.outdated.length > 0;
      const othersChanged = !isDeepStrictEqual(now.others, rank?.others);
      const isShort = (await redis.hlen(keys.registered)) < config.groups.length - heldUp.unreadable.length;
      const isDue =
        !isComplete || isShort || now.isNew || now.overridesUpTo !== rank?.overridesUpTo || (isHeldUp && othersChanged);
      if (isDue) await sync(config, now);
      rank = now;
    },
    async registerLost(config, recordIds) {
      const groups = await markLost(deps, recordIds);
      if (groups.length === 0) {
        // No group has these records: only their places in the schedule are left.
        for (const { name } of config.instances) await redis.zrem(keys.due(name), ...recordIds);
        return;
      }
      for (const group of groups) {
        log.warn({ event: 'group.lost', group }, `${group}: Redis has no record of it any more: it starts over`);
      }
      await sync(config, await announce(config));
    },
    reportUnreadable,
    noteBuckets,
    close: () => files.withdraw(),
  };
}

/** The group's id, and the WhatsApp group that it names. */
function nameOf({ entry }: DesiredGroup): string {
  return `${entry.group} ${entry.identifier}`;
}

function keptText(kept: readonly string[]): string {
  return `${kept.length} groups stay that this file lacks, because another worker's file has them: ${named(kept)}`;
}

function outdatedText(outdated: readonly string[]): string {
  return `${outdated.length} groups stay as a newer file of another worker has them: ${named(outdated)}`;
}

function named(groups: readonly string[]): string {
  return groups.slice(0, maxNamed).join(', ') + (groups.length > maxNamed ? ', …' : '');
}
