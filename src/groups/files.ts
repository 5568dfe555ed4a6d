/**
 * The files that live workers go by. Every worker announces a digest of what its file says of groups, together with the
 * ids in it, so that workers whose files differ for a while, or for good, do not undo each other's registrations: an
 * older file never replaces what a newer one has registered, and no group leaves the schedule while a live worker's file
 * has it.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import type { Entry } from './record.ts';

const announceLua = loadScript('announce', import.meta.url);

/** A worker that announces nothing for this long is presumed dead. */
const deadAfterMs = 20_000;
/** Ids of a file are kept for as long as somebody goes by it, and a day. */
const idsSeconds = 24 * 3600;
/** Ids sent in one command. */
const chunk = 5_000;

/** What a worker's file is among those of the others. */
export interface FileStanding {
  readonly digest: string;
  /** Higher is newer. */
  readonly generation: number;
  /**
   * What it registers may replace what files up to this generation have registered: those up to its own while another live
   * worker has a newer one, and all that there ever were when nobody has.
   */
  readonly authority: number;
  /** Nobody knew this file: it is new, or Redis has lost what was announced before. */
  readonly isNew: boolean;
  /** Digests of the files of other live workers that are not this one. */
  readonly others: readonly string[];
}

export interface Files {
  /** Announces the file with these entries, at the start, after an edit, and again and again while it is in force. */
  announce(entries: readonly Entry[]): Promise<FileStanding>;
  /** Of these ids, those that one of these files has. */
  having(files: readonly string[], ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** The worker stops. */
  withdraw(): Promise<void>;
}

export function createFiles(redis: RedisClient, keys: Keys): Files {
  const worker = randomUUID();
  let announced: { readonly digest: string; readonly generation: number; readonly entries: readonly Entry[] } | null =
    null;

  async function storeIds(digest: string, entries: readonly Entry[]): Promise<void> {
    const key = keys.fileIds(digest);
    for (let from = 0; from < entries.length; from += chunk) {
      await redis.sadd(key, ...entries.slice(from, from + chunk).map(({ group }) => group));
    }
  }

  return {
    async announce(entries) {
      const digest = announced?.entries === entries ? announced.digest : digestOf(entries);
      const key = keys.fileIds(digest);
      if ((await redis.scard(key)) !== entries.length) await storeIds(digest, entries);
      await redis.expire(key, idsSeconds);
      const [generation, isNew, newestLive, newest, ...others] = (await runScript(
        redis,
        announceLua,
        [keys.generations, keys.workers],
        [worker, digest, announced?.digest ?? '', announced?.generation ?? 0, deadAfterMs],
      )) as [number, string, number, number, ...string[]];
      announced = { digest, generation, entries };
      const authority = newestLive > generation ? generation : newest;
      return { digest, generation, authority, isNew: isNew === '1', others: others.sort() };
    },

    async having(files, ids) {
      if (ids.length === 0) return new Set();
      const found = new Set<string>();
      for (const file of files) {
        const has = await redis.smismember(keys.fileIds(file), ...ids);
        for (const [i, id] of ids.entries()) if (has[i] === 1) found.add(id);
      }
      return found;
    },

    async withdraw() {
      if (announced !== null) await redis.zrem(keys.workers, `${worker} ${announced.digest}`);
    },
  };
}

function digestOf(entries: readonly Entry[]): string {
  const sorted = [...entries].sort((a, b) => (a.group < b.group ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16);
}
