/**
 * Brings Redis in line with the file: which groups there are, who serves them, and when they are due. Only what
 * changed since the last time is touched, so a restart moves no schedule. A group that left the file keeps its history
 * for 30 days; if it comes back by then, it goes on where it was.
 */
import { z } from 'zod';
import type { Config, GroupConfig } from '../config/config.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { identifierText } from '../ryze/identifier.ts';
import { firstDue, nextDue } from '../schedule/schedule.ts';
import { claimJid, releaseJid } from './jids.ts';
import type { GroupRecord } from './record.ts';
import { type GroupPlace, type GroupStore, RecordError, readable } from './store.ts';

/** What a group was when it was last taken over from a file. Clients read it to find a group's queue. */
export const registration = z.object({
  instance: z.string(),
  identifier: z.string(),
  enabled: z.boolean(),
  /** The schedule as text: compared, never read. */
  schedule: z.string(),
});
export type Registration = z.infer<typeof registration>;

export interface RegistryChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Groups whose JID another group owns already: `[group, owner]`. */
  readonly doubles: readonly (readonly [string, string])[];
  /** Groups that were left as they are, because their records cannot be read: `[group, why]`. */
  readonly unreadable: readonly (readonly [string, string])[];
}

export interface RegistryDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly placeOf: (group: GroupConfig) => GroupPlace;
}

const historySeconds = 30 * 24 * 3600;
/** Groups written at the same time: enough to fill the pipe, not so many that others wait. */
const chunk = 250;

export async function syncRegistry(deps: RegistryDependencies, config: Config): Promise<RegistryChanges> {
  const { redis, keys } = deps;
  const before = await redis.hgetall(keys.registered);
  const doubles: (readonly [string, string])[] = [];
  const unreadable = new Map<string, string>();

  // First, so that a group that was only given another id finds its JID free.
  const wanted = new Set(config.groups.map((group) => group.id));
  const removed = Object.keys(before).filter((id) => !wanted.has(id));
  for (const id of removed) await unregister(deps, id, parseRegistration(before[id]));

  const work = config.groups.filter((group) => before[group.id] !== describe(group));
  for (let from = 0; from < work.length; from += chunk) {
    const groups = work.slice(from, from + chunk);
    const nowMs = await redisTime(redis, keys);
    await Promise.all(
      groups.map(async (group) => {
        const old = parseRegistration(before[group.id]);
        const owner = await readable(takeIn(deps, group, old, nowMs));
        if (owner instanceof RecordError) unreadable.set(group.id, owner.message);
        else if (owner !== null) doubles.push([group.id, owner]);
      }),
    );
    await noteRegistered(
      deps,
      groups.filter(({ id }) => !unreadable.has(id)),
    );
  }

  const isNew = ({ id }: GroupConfig) => before[id] === undefined;
  return {
    added: work.filter(isNew).map(({ id }) => id),
    changed: work.filter((group) => !isNew(group)).map(({ id }) => id),
    removed,
    doubles,
    unreadable: [...unreadable],
  };
}

/** What the last file said of a group; null: it is in none. */
export async function readRegistration(redis: RedisClient, keys: Keys, group: string): Promise<Registration | null> {
  return parseRegistration((await redis.hget(keys.registered, group)) ?? undefined);
}

/** Gives the group its place in the schedule; returns another group's id where that one is the same. */
async function takeIn(
  deps: RegistryDependencies,
  group: GroupConfig,
  old: Registration | null,
  atMs: number,
): Promise<string | null> {
  const { redis, keys, store, placeOf } = deps;
  const jid = group.identifier.kind === 'jid' ? group.identifier.jid : null;
  if (old !== null && old.instance !== group.instance) await forgetTimes(redis, keys, group.id, old.instance);
  if (old !== null && old.identifier !== identifierText(group.identifier)) await letGoOfJid(deps, group.id);
  const owner = jid === null ? null : await claimJid(redis, keys, jid, group.id);

  // Placed even where its times did not change: a group that comes back is in none of the sets.
  await store.update(
    placeOf(group),
    (record, nowMs) => ({ record: takeOver(record, group, old, owner, nowMs), result: undefined }),
    { place: 'always', ...(old === null ? { asNewAt: atMs } : {}) },
  );
  return owner;
}

/** Last, so that a crash before it only means that all of this is done again. */
async function noteRegistered({ redis, keys }: RegistryDependencies, groups: readonly GroupConfig[]): Promise<void> {
  if (groups.length === 0) return;
  const registrations = Object.fromEntries(groups.map((group) => [group.id, describe(group)]));
  await redis.hset(keys.registered, registrations);
}

/** The group's record is gone, but it was taken over before: `syncRegistry` takes it over once more. */
export async function forgetRegistration(redis: RedisClient, keys: Keys, id: string): Promise<void> {
  await redis.hdel(keys.registered, id);
}

/** The record under the file's new words. Pure. */
export function takeOver(
  record: GroupRecord,
  group: GroupConfig,
  old: Registration | null,
  duplicateOf: string | null,
  nowMs: number,
): GroupRecord {
  const jid = group.identifier.kind === 'jid' ? group.identifier.jid : null;
  const sameGroup =
    (jid !== null && record.jid === jid) ||
    (jid === null && (old === null || old.identifier === identifierText(group.identifier)));
  const kept: GroupRecord = sameGroup
    ? record
    : { ...record, jid, link: null, uncertain: null, verificationOwedAt: null, failure: null, verifiedAt: null };
  return { ...kept, duplicateOf, dueAt: dueAtFor(kept, group, old, nowMs) };
}

function dueAtFor(record: GroupRecord, group: GroupConfig, old: Registration | null, nowMs: number): number | null {
  if (!group.enabled) return null;
  const asBefore = old?.enabled === true && old.schedule === JSON.stringify(group.schedule);
  // A group that nobody registered yet, but that has a due time: another process is taking over the same file.
  if ((asBefore || (old === null && record.rotatedAt === null)) && record.dueAt !== null) return record.dueAt;
  if (record.rotatedAt !== null) return nextDue(group.schedule, record.rotatedAt);
  return firstDue(group.schedule, group.firstSeen, group.id, nowMs);
}

async function unregister(deps: RegistryDependencies, id: string, old: Registration | null): Promise<void> {
  const { redis, keys } = deps;
  await letGoOfJid(deps, id);
  if (old !== null) await forgetTimes(redis, keys, id, old.instance);
  await redis.multi().expire(keys.group(id), historySeconds).hdel(keys.registered, id).exec();
}

async function forgetTimes(redis: RedisClient, keys: Keys, id: string, instance: string): Promise<void> {
  await redis.multi().zrem(keys.due(instance), id).zrem(keys.verifications(instance), id).exec();
}

async function letGoOfJid({ redis, keys, store }: RegistryDependencies, id: string): Promise<void> {
  const loaded = await readable(store.load(id));
  if (loaded instanceof RecordError || loaded.record.jid === null) return;
  await releaseJid(redis, keys, loaded.record.jid, id);
}

function describe(group: GroupConfig): string {
  const described: Registration = {
    instance: group.instance,
    identifier: identifierText(group.identifier),
    enabled: group.enabled,
    schedule: JSON.stringify(group.schedule),
  };
  return JSON.stringify(described);
}

function parseRegistration(json: string | undefined): Registration | null {
  if (json === undefined) return null;
  try {
    return registration.parse(JSON.parse(json));
  } catch {
    // Written by another version, or by somebody else: the group is taken over anew.
    return null;
  }
}
