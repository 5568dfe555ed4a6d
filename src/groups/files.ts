/**
 * The configuration files of live workers. Each worker announces a digest of its file's groups and stores their ids. So
 * workers with different files, during a roll-out or permanently, do not undo each other's registrations: an older file
 * never replaces what a newer one has registered, and a group stays scheduled while any live worker's file has it.
 */
import { createHash, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Config, GroupConfig } from '../config/config.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { identifierText } from '../ryze/identifier.ts';
import { eachInSlices, mapInSlices, sortInSlices } from '../slices.ts';
import type { DesiredGroup } from './entries.ts';
import type { Entry } from './record.ts';

const announceLua = loadScript('announce', import.meta.url);

/** A worker that announces nothing for this long is presumed dead. */
const deadAfterMs = 20_000;
/** The ids of a file are kept for a day after its last announcement. */
const idsSeconds = 24 * 3600;
/** Ids sent in one command. */
const chunk = 5_000;

/** The groups of a configuration file, as they are registered. */
export interface GroupsFile {
  readonly groups: readonly DesiredGroup[];
  readonly digest: string;
}

/** How a worker's file compares with those of the others. */
export interface FileRank {
  readonly digest: string;
  /** Higher is newer. */
  readonly generation: number;
  /**
   * The highest generation whose registrations this file may replace: its own while a live worker has a newer file,
   * otherwise the newest of all time.
   */
  readonly overridesUpTo: number;
  /** No worker had this file before, this one was taken for dead meanwhile, or Redis has lost the announcements. */
  readonly isNew: boolean;
  /** Digests of other live workers' files, without this one. */
  readonly others: readonly string[];
}

/** What a worker says about itself. Keys of a newer version are ignored. */
const note = z.object({
  host: z.string(),
  pid: z.int(),
  version: z.string(),
  startedAt: z.int(),
  /** The configuration file in force: its hash, and since when. */
  config: z.object({ hash: z.string(), since: z.int() }),
  /**
   * The instances that it may be chosen to serve: the digest of the list of its file's instances, and those of them whose
   * tokens it cannot read. Absent while it starts or stops, and from workers that serve every instance of their file.
   */
  serves: z.object({ instances: z.string(), unable: z.array(z.string()) }).optional(),
});
export type WorkerNote = z.infer<typeof note>;

export interface WorkerFiles {
  /** This worker, and its member of the set of workers; `member` is null before the first announcement and after the last. */
  readonly worker: string;
  readonly member: string | null;
  /** Announces the file: at the start, after an edit, and periodically. */
  announce(file: GroupsFile): Promise<FileRank>;
  /** Those of the ids that at least one of the files has. */
  idsIn(digests: readonly string[], ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** Called when the worker stops. */
  withdraw(): Promise<void>;
}

/** `describe`: what the worker says about itself now. */
export function createWorkerFiles({ redis, keys }: Database, describe?: () => WorkerNote): WorkerFiles {
  const worker = randomUUID();
  let announced: { readonly digest: string; readonly generation: number } | null = null;
  let member: string | null = null;

  async function storeIds({ digest, groups }: GroupsFile): Promise<void> {
    const key = keys.fileIds(digest);
    if ((await redis.scard(key)) !== groups.length) {
      for (let from = 0; from < groups.length; from += chunk) {
        await redis.sadd(key, ...groups.slice(from, from + chunk).map(({ entry }) => entry.group));
      }
    }
    await redis.expire(key, idsSeconds);
  }

  return {
    worker,
    get member() {
      return member;
    },
    async announce(file) {
      await storeIds(file);
      const { digest } = file;
      // Before it is stored: a heartbeat that is sent after it must not store the one before.
      member = `${worker} ${digest}`;
      const [generation, isNew, newestLive, newest, ...others] = (await runScript(
        redis,
        announceLua,
        [keys.generations, keys.workers, keys.workerNotes],
        [
          ...[worker, digest, announced?.digest ?? '', announced?.generation ?? 0, deadAfterMs],
          describe === undefined ? '' : JSON.stringify(describe()),
        ],
      )) as [number, string, number, number, ...string[]];
      announced = { digest, generation };
      const overridesUpTo = newestLive > generation ? generation : newest;
      return { digest, generation, overridesUpTo, isNew: isNew === '1', others: others.sort() };
    },

    async idsIn(digests, ids) {
      const found = new Set<string>();
      if (ids.length === 0) return found;
      for (const digest of digests) {
        for (let from = 0; from < ids.length; from += chunk) {
          const some = ids.slice(from, from + chunk);
          const has = await redis.smismember(keys.fileIds(digest), ...some);
          for (const [i, id] of some.entries()) if (has[i] === 1) found.add(id);
        }
      }
      return found;
    },

    async withdraw() {
      if (member === null) return;
      const removed = member;
      member = null;
      await redis.zrem(keys.workers, removed);
      await redis.hdel(keys.workerNotes, worker);
    },
  };
}

/** What the live workers say about themselves, the longest-running first. Workers of older versions say nothing. */
export async function readLiveWorkers(db: Database): Promise<WorkerNote[]> {
  const { redis, keys } = db;
  const nowMs = await redisTime(db);
  const members = await redis.zrangebyscore(keys.workers, nowMs - deadAfterMs, '+inf');
  if (members.length === 0) return [];
  const notes = await redis.hmget(keys.workerNotes, ...members.map((member) => member.split(' ')[0] ?? ''));
  return notes.flatMap((json) => parseNote(json) ?? []).sort((a, b) => a.startedAt - b.startedAt || a.pid - b.pid);
}

export function parseNote(json: string | null): WorkerNote | null {
  try {
    return note.parse(JSON.parse(json ?? ''));
  } catch {
    return null;
  }
}

/** Pure. Leaves time for other work while it computes. */
export async function groupsFile(config: Pick<Config, 'groups' | 'results' | 'verify'>): Promise<GroupsFile> {
  const groups = await mapInSlices(config.groups, (group) => ({
    entry: entryOf(group, config),
    firstSeen: group.firstSeen,
  }));
  const sorted = await sortInSlices(groups, (a, b) => (a.entry.group < b.entry.group ? -1 : 1));
  const hash = createHash('sha256');
  // The digest of the entries as one JSON list, as all versions compute it.
  let before = '[';
  await eachInSlices(sorted, ({ entry }) => {
    hash.update(before + JSON.stringify(entry));
    before = ',';
  });
  hash.update(sorted.length === 0 ? '[]' : ']');
  return { groups, digest: hash.digest('hex').slice(0, 16) };
}

function entryOf(group: GroupConfig, { results, verify }: Pick<Config, 'results' | 'verify'>): Entry {
  const { id, instance, identifier, enabled, schedule } = group;
  return {
    group: id,
    instance,
    identifier: identifierText(identifier),
    enabled,
    schedule: schedule as Entry['schedule'],
    queues: [...results.queues],
    verifyEveryMs: verify?.everyMs ?? null,
  };
}
