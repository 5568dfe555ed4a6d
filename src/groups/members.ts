/**
 * The set of workers, as its members use it: each announces every two seconds that it lives, and learns which others
 * take part in serving instances (`servers.ts`). Nothing is decided here that may not be decided twice.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Database, redisTime } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { parseNote, type WorkerFiles, type WorkerNote } from './files.ts';
import { isLive, isRemovable, type Look, observe, type View } from './liveness.ts';
import { type Server, serversOf } from './servers.ts';

const heartbeatLua = loadScript('heartbeat', import.meta.url);

/** A beat is recent for this long: a live worker is silent for a fifth of it. */
const recentMs = 10_000;
/** A list is stored again by the next beat of any worker that has it. */
const listSeconds = 3_600;
const list = z.array(z.string());

/** A live worker that takes part, with what it says about itself. */
export interface NotedServer extends Server {
  readonly note: WorkerNote;
}

export interface Membership {
  /** Announces that this worker lives, and what it says about itself. Returns the other live workers that take part. */
  beat(): Promise<readonly NotedServer[]>;
}

export function createMembership(
  db: Database,
  files: Pick<WorkerFiles, 'worker' | 'member'>,
  describe: () => WorkerNote,
  /** Of the file in force. */
  instances: () => readonly string[],
  /** Called when others took this worker for dead, or when the set was emptied. */
  onExpelled: () => void = () => {},
): Membership {
  const { redis, keys } = db;
  let view: View<WorkerNote | null> = new Map();
  const lists = instanceLists(db);

  async function storeList(): Promise<void> {
    const names = instances();
    const key = keys.instanceList(digestOf(names));
    if ((await redis.expire(key, listSeconds)) === 0) await redis.set(key, JSON.stringify(names), 'EX', listSeconds);
  }

  return {
    async beat() {
      await storeList();
      const { worker, member } = files;
      if (member === null) return [];
      const dead = [...view].filter(([, seen]) => isRemovable(seen));
      const reply = (await runScript(
        redis,
        heartbeatLua,
        [keys.workers, keys.workerNotes],
        [worker, member, JSON.stringify(describe()), recentMs, ...dead.flatMap(([id, { beat }]) => [id, beat])],
      )) as string[];
      const look = parseLook(reply);
      if (!look.isTrusted) onExpelled();
      view = observe(view, look);
      const live = [...view].filter(([, seen]) => isLive(seen));
      return await lists.serversAmong(live.map(([id, { note }]) => [id, note]));
    },
  };
}

function parseLook([wasMember, ...fields]: readonly string[]): Look<WorkerNote | null> {
  const members = Array.from({ length: fields.length / 4 }, (_, i) => {
    const [worker = '', beat, isRecent, note = ''] = fields.slice(4 * i, 4 * i + 4);
    return { worker, beat: Number(beat), isRecent: isRecent === '1', note: parseNote(note) };
  });
  return { isTrusted: wasMember === '1', members };
}

/** The names are in the order of the file. */
export function digestOf(instances: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(instances)).digest('hex').slice(0, 16);
}

/** The lists that notes refer to. A list never changes, so each is read once. */
function instanceLists({ redis, keys }: Database) {
  let known: ReadonlyMap<string, ReadonlySet<string>> = new Map();

  async function read(digest: string): Promise<ReadonlySet<string> | null> {
    const json = await redis.get(keys.instanceList(digest));
    return json === null ? null : new Set(list.parse(JSON.parse(json)));
  }

  return {
    /** Those of the workers that take part. Their order is kept. */
    async serversAmong(workers: readonly (readonly [string, WorkerNote | null])[]): Promise<NotedServer[]> {
      const used = new Map<string, ReadonlySet<string>>();
      const servers: NotedServer[] = [];
      for (const [worker, note] of workers) {
        if (note?.serves === undefined) continue;
        const { instances: digest, unable } = note.serves;
        // Redis may have lost the list. Whose instances are not known is not relied on.
        const instances = used.get(digest) ?? known.get(digest) ?? (await read(digest));
        if (instances === null) continue;
        used.set(digest, instances);
        servers.push({ worker, instances, unable: new Set(unable), note });
      }
      known = used;
      return servers;
    },
  };
}

/** Which live workers serve an instance, the longest-running first, for readers. Workers of versions that serve every instance are not named. */
export async function readServers(db: Database): Promise<(instance: string) => readonly WorkerNote[]> {
  const { redis, keys } = db;
  const oldest = (await redisTime(db)) - recentMs;
  const members = (await redis.zrangebyscore(keys.workers, oldest, '+inf')).map((member) => member.split(' ')[0] ?? '');
  if (members.length === 0) return () => [];
  const notes = await redis.hmget(keys.workerNotes, ...members);
  const servers = await instanceLists(db).serversAmong(members.map((id, i) => [id, parseNote(notes[i] ?? null)]));
  return (instance) =>
    serversOf(instance, servers)
      .map(({ note }) => note)
      .sort((a, b) => a.startedAt - b.startedAt || a.pid - b.pid);
}
