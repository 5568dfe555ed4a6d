/**
 * Registers the groups of the configuration in force in Redis, and logs what changed. Registrations never overlap: a
 * call that comes during one waits for the next.
 */
import { isDeepStrictEqual } from 'node:util';
import { bucketOf } from '../budget/budget.ts';
import type { Config } from '../config/config.ts';
import { formatNames } from '../config/problems.ts';
import type { DesiredGroup } from '../groups/entries.ts';
import { createWorkerFiles, type FileRank, type GroupsFile, groupsFile, type WorkerNote } from '../groups/files.ts';
import { markLost, type RegistryChanges, syncRegistry } from '../groups/registry.ts';
import type { Database } from '../redis/database.ts';
import { eachInSlices, mapInSlices } from '../slices.ts';
import type { Base } from './base.ts';
import { singleFlight } from './tasks.ts';

export type GroupRegistration = ReturnType<typeof createRegistration>;

/** Fewer groups, or a smaller share of all, are often removed from a file on purpose. */
const vanished = { groups: 3, share: 0.2 };
/** Names in one log line. */
const maxNamed = 10;

export function createRegistration(
  base: Database & Pick<Base, 'store' | 'tokens' | 'log' | 'config'> & { readonly describe?: () => WorkerNote },
) {
  const { redis, keys, tokens, log, config } = base;
  const files = createWorkerFiles(base, base.describe);
  const deps = { ...base, files };
  let latest: { readonly config: Config; readonly file: GroupsFile } | null = null;
  let rank: FileRank | null = null;
  /** Groups that this process has registered. */
  const known = new Set<string>();
  /** Register unconditionally: a caller requested it, or the last registration failed. */
  let isDue = true;
  /** What the last registration did not change because of another worker's file. */
  let deferred: Pick<RegistryChanges, 'kept' | 'outdated' | 'unreadable'> = { kept: [], outdated: [], unreadable: [] };

  async function fileOf(current: Config): Promise<GroupsFile> {
    if (latest?.config !== current) latest = { config: current, file: await groupsFile(current) };
    return latest.file;
  }

  const withKnown = (group: DesiredGroup, { api }: Config): DesiredGroup =>
    known.has(nameOf(group)) ? { ...group, settlesInMs: api.settleTimeMs } : group;

  function reportUnreadable(unreadable: RegistryChanges['unreadable']): void {
    for (const { group, reason } of unreadable) log.error({ event: 'group.unreadable', group }, reason);
  }

  /** For processes that show budgets and know no token. */
  async function noteBuckets(current: Config): Promise<void> {
    const buckets = current.instances.map(({ name }) => [name, bucketOf(tokens.of(name))]);
    await redis.hset(keys.buckets, Object.fromEntries(buckets));
  }

  async function announce(current: Config): Promise<FileRank> {
    const announced = await files.announce(await fileOf(current));
    if (announced.others.length > 0 && !isDeepStrictEqual(announced.others, rank?.others)) {
      log.warn(
        { event: 'config.differs', file: announced.digest, others: announced.others },
        'another worker has a different configuration file: the newer file applies, and groups in only one of them stay registered',
      );
    }
    return announced;
  }

  /** Whether something is registered differently from this file and may be corrected now. */
  async function differs({ groups }: Config, announced: FileRank): Promise<boolean> {
    if (announced.isNew || announced.overridesUpTo !== rank?.overridesUpTo) return true;
    const isDeferred = deferred.kept.length > 0 || deferred.outdated.length > 0;
    if (isDeferred && !isDeepStrictEqual(announced.others, rank?.others)) return true;
    return (await redis.hlen(keys.registered)) < groups.length - deferred.unreadable.length;
  }

  async function sync(current: Config, announced: FileRank): Promise<void> {
    await redis.sadd(keys.outboxes, ...current.results.queues);
    await noteBuckets(current);
    const { groups } = await fileOf(current);
    const desired = await mapInSlices(groups, (group) => withKnown(group, current));
    const changes = await syncRegistry(deps, desired, announced);
    await eachInSlices(groups, (group) => known.add(nameOf(group)));
    report(changes, current);
    deferred = changes;
  }

  const run = singleFlight(async () => {
    // Before the work: a call of `register` that comes meanwhile leads to another run.
    const isForced = isDue;
    isDue = false;
    try {
      const current = config();
      const announced = await announce(current);
      if (isForced || (await differs(current, announced))) await sync(current, announced);
      rank = announced;
    } catch (error) {
      isDue = true;
      throw error;
    }
  });

  async function register(): Promise<void> {
    isDue = true;
    await run();
  }

  function report(changes: RegistryChanges, { groups }: Config): void {
    for (const { group, owner } of changes.duplicates) {
      log.error(
        { event: 'group.duplicate', group, owner },
        `${group} is the same WhatsApp group as ${owner}: it is paused`,
      );
    }
    reportUnreadable(changes.unreadable);
    const { kept, outdated } = changes;
    if (kept.length > 0 && !isDeepStrictEqual(kept, deferred.kept)) {
      log.warn(
        { event: 'groups.kept', groups: kept.slice(0, maxNamed), count: kept.length },
        `${kept.length} groups that are not in this file stay registered, because another worker's file has them: ${formatNames(kept, maxNamed)}`,
      );
    }
    if (outdated.length > 0 && !isDeepStrictEqual(outdated, deferred.outdated)) {
      log.warn(
        { event: 'groups.outdated', groups: outdated.slice(0, maxNamed), count: outdated.length },
        `${outdated.length} groups stay registered as another worker's newer file describes them: ${formatNames(outdated, maxNamed)}`,
      );
    }
    const [added, changed, removed] = [changes.added.length, changes.changed.length, changes.removed.length];
    if (removed >= vanished.groups && removed >= vanished.share * (removed + groups.length)) {
      log.error(
        { event: 'groups.vanished', groups: changes.removed.slice(0, maxNamed), removed },
        `${removed} groups are no longer in the file: if that was not intended, add them again; their history is kept for 30 days`,
      );
    }
    log.info({ event: 'registry.synced', added, changed, removed }, `${groups.length} groups are registered`);
  }

  return {
    /** This worker in the set of workers. */
    files,
    /** Registers what differs from what Redis holds. */
    register,
    /** Announces that this worker lives and which file it has; registers if Redis may lack something of that. */
    reconcile: run,
    /** Registers groups again whose records were deleted or lost: they start over. */
    async registerLost(recordIds: readonly string[]): Promise<void> {
      const groups = await markLost(deps, recordIds);
      for (const group of groups) {
        log.warn({ event: 'group.lost', group }, `${group}: Redis has lost its record, so the group starts over`);
      }
      if (groups.length > 0) return await register();
      // No group has these records: remove their places in the schedule.
      for (const { name } of config().instances) await redis.zrem(keys.due(name), ...recordIds);
    },
    reportUnreadable,
    /** Notes the bucket of each instance's token. */
    noteBuckets: () => noteBuckets(config()),
    /** Withdraws the announcement. */
    close: () => files.withdraw(),
  };
}

/** The group's id with the WhatsApp group that it names. */
function nameOf({ entry }: DesiredGroup): string {
  return `${entry.group} ${entry.identifier}`;
}
