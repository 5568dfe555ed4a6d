/**
 * The planner's tick: reads what is due, most overdue first, and puts as much of it onto the instances' queues as the
 * tokens' budgets can serve until the next tick. So queues stay short, one-offs find them nearly empty, and an outage
 * ends without a stampede. What budget is left over goes to reading links back (verification).
 *
 * A group whose record cannot be read, or is gone, holds up no other: it is reported, and looked at again later.
 *
 * A tick may run twice or at once with another: a released group is held back in its sorted set, its job's id names
 * the due time, and the record decides in the end. A released job that gets lost is released again after `holdMs`.
 */
import type { Queue } from 'bullmq';
import { type Budget, bucketOf } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import type { Config, GroupConfig, InstanceConfig } from '../config/config.ts';
import { lookUp } from '../config/lookup.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { countJobs } from '../queues/counts.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, redisTime, runScript } from '../redis/scripts.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { releaseScheduled, releaseVerifications } from './release.ts';

const holdLua = loadScript('hold', import.meta.url);

/** Between two ticks of the `plan` job. */
export const tickMs = 5_000;
/** A released group is looked at again after this time, in case its job was lost. */
const holdMs = 60_000;
/** Groups read per instance and tick at the most: more than any token serves in that time. */
const headSize = 200;

export interface PlannerDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly budget: Budget;
  /** The configuration in force when the tick starts. */
  readonly config: Config;
  readonly tokenOf: (instance: string) => string;
  readonly queueOf: (instance: string) => Queue;
}

/** What was done with the groups that are due. */
interface Scheduled {
  readonly released: number;
  /** Groups whose records cannot be read: `[group, why]`. */
  readonly unreadable: readonly (readonly [string, string])[];
  /** Groups whose records are gone, and their places in the schedule with them. */
  readonly lost: readonly string[];
}

export interface Tick extends Scheduled {
  readonly due: number;
  readonly verifications: number;
}

/** A group at the head of a sorted set: `score` is the time it was read with. */
interface Head {
  readonly id: string;
  readonly score: number;
  readonly instance: InstanceConfig;
  readonly group: GroupConfig | undefined;
}

export async function tick(deps: PlannerDependencies): Promise<Tick> {
  const { redis, keys, config } = deps;
  const nowMs = await redisTime(redis, keys);
  const { byId: groups } = lookUp(config);
  const read = (key: (instance: string) => string) => readHeads(deps, key, groups, nowMs);
  const [due, unverified] = await Promise.all([read(keys.due), read(keys.verifications)]);

  const unreadable: Scheduled['unreadable'][number][] = [];
  const lost: string[] = [];
  let released = 0;
  let verifications = 0;
  for (const instances of byBucket(deps, [...due, ...unverified])) {
    const names = new Set(instances.map((instance) => instance.name));
    const mine = (heads: Head[]) => heads.filter((head) => names.has(head.instance.name));
    const room = await findRoom(deps, instances, nowMs);
    const scheduled = await planScheduled(deps, mine(due), room, nowMs);
    released += scheduled.released;
    unreadable.push(...scheduled.unreadable);
    lost.push(...scheduled.lost);
    // Only what is idle: half of what nobody who is due could use.
    if (mine(due).length <= scheduled.released) {
      const idle = Math.floor((room.free - scheduled.released) / 2);
      verifications += await planVerifications(deps, mine(unverified), idle, nowMs);
    }
  }
  await redis.set(keys.lastTick, nowMs);
  return { due: due.length, released, verifications, unreadable, lost };
}

async function readHeads(
  { redis, config }: PlannerDependencies,
  key: (instance: string) => string,
  groups: ReadonlyMap<string, GroupConfig>,
  nowMs: number,
): Promise<Head[]> {
  const heads = await Promise.all(
    config.instances.map(async (instance) => {
      const flat = await redis.zrangebyscore(key(instance.name), '-inf', nowMs, 'WITHSCORES', 'LIMIT', 0, headSize);
      return Array.from({ length: flat.length / 2 }, (_, i): Head => {
        const id = flat[2 * i] ?? '';
        const group = groups.get(id);
        return {
          id,
          score: Number(flat[2 * i + 1]),
          instance,
          group: group?.instance === instance.name ? group : undefined,
        };
      });
    }),
  );
  return heads.flat().sort((a, b) => a.score - b.score);
}

/** The instances that have something to do, those that share a token together. */
function byBucket(deps: PlannerDependencies, heads: Head[]): InstanceConfig[][] {
  const buckets = new Map<string, Map<string, InstanceConfig>>();
  for (const { instance } of heads) {
    const bucket = bucketOf(deps.tokenOf(instance.name));
    if (!buckets.has(bucket)) buckets.set(bucket, new Map());
    buckets.get(bucket)?.set(instance.name, instance);
  }
  return [...buckets.values()].map((instances) => [...instances.values()]);
}

interface Room {
  /** Calls that the token can serve until the next tick, less what is queued already. */
  readonly free: number;
  /** The same per instance, where its gate or its pace says so: 0 while its gate is closed. */
  readonly perInstance: ReadonlyMap<string, number>;
}

async function findRoom(deps: PlannerDependencies, instances: InstanceConfig[], nowMs: number): Promise<Room> {
  const perInstance = new Map<string, number>();
  let free = Number.POSITIVE_INFINITY;
  let queued = 0;
  for (const instance of instances) {
    const [gate, capacity, counts] = await Promise.all([
      readGate(deps.redis, deps.keys, instance.name, nowMs),
      deps.budget.capacity(instance, deps.tokenOf(instance.name), tickMs),
      countJobs(deps.queueOf(instance.name)),
    ]);
    const unfinished = counts.waiting + counts.active;
    queued += unfinished;
    free = Math.min(free, capacity.free);
    const left = Math.ceil(tickMs / instance.paceMs) - unfinished - counts.delayed;
    const paced = instance.paceMs > 0 ? Math.max(left, 0) : capacity.free;
    perInstance.set(instance.name, gate !== null && gate.opensInMs > 0 ? 0 : paced);
  }
  return { free: Math.max(free - queued, 0), perInstance };
}

/** Releases what is due within the room there is. */
async function planScheduled(deps: PlannerDependencies, heads: Head[], room: Room, nowMs: number): Promise<Scheduled> {
  const chosen = choose(heads, room.free, room.perInstance);
  const records = await Promise.all(chosen.map((head) => readable(deps.store.load(head.id))));
  const holds: { head: Head; untilMs: number }[] = [];
  const releases: { head: Head; dueAt: number }[] = [];
  const unreadable: Scheduled['unreadable'][number][] = [];
  const lost: string[] = [];
  for (const [i, head] of chosen.entries()) {
    const loaded = records[i];
    const damaged = loaded instanceof RecordError;
    if (damaged) unreadable.push([head.id, loaded.message]);
    const dueAt = damaged ? null : (loaded?.record.dueAt ?? null);
    if (!damaged && dueAt === null && head.group?.enabled) lost.push(head.id);
    const open = head.group === undefined ? nowMs : slideIntoWindow(head.group.schedule, nowMs);
    if (head.group === undefined || dueAt === null) holds.push({ head, untilMs: nowMs + holdMs });
    else if (dueAt > nowMs) holds.push({ head, untilMs: dueAt });
    else if (open > nowMs) holds.push({ head, untilMs: open });
    else {
      holds.push({ head, untilMs: nowMs + holdMs });
      releases.push({ head, dueAt });
    }
  }
  for (const [instance, list] of byInstance(releases)) {
    await releaseScheduled(
      deps.queueOf(instance),
      list.map(({ head, dueAt }, i) => ({ group: head.id, dueAt, delayMs: i * head.instance.paceMs })),
    );
  }
  await hold(deps, deps.keys.due, holds);
  return { released: releases.length, unreadable, lost };
}

async function planVerifications(
  deps: PlannerDependencies,
  heads: Head[],
  room: number,
  nowMs: number,
): Promise<number> {
  const chosen = heads.slice(0, Math.max(room, 0));
  const known = chosen.filter((head) => head.group !== undefined);
  for (const [instance, list] of byInstance(known.map((head) => ({ head })))) {
    await releaseVerifications(
      deps.queueOf(instance),
      list.map(({ head }) => ({ group: head.id, at: head.score })),
    );
  }
  await hold(
    deps,
    deps.keys.verifications,
    chosen.map((head) => ({ head, untilMs: nowMs + holdMs })),
  );
  return known.length;
}

function choose(heads: Head[], most: number, perInstance: ReadonlyMap<string, number>): Head[] {
  const left = new Map(perInstance);
  const chosen: Head[] = [];
  for (const head of heads) {
    if (chosen.length >= most) break;
    const room = left.get(head.instance.name) ?? 0;
    if (room <= 0) continue;
    left.set(head.instance.name, room - 1);
    chosen.push(head);
  }
  return chosen;
}

async function hold(
  { redis }: PlannerDependencies,
  key: (instance: string) => string,
  holds: { head: Head; untilMs: number }[],
): Promise<void> {
  for (const [instance, list] of byInstance(holds)) {
    const args = list.flatMap(({ head, untilMs }) => [head.id, head.score, untilMs]);
    await runScript(redis, holdLua, [key(instance)], args);
  }
}

function byInstance<T extends { head: Head }>(items: readonly T[]): Map<string, T[]> {
  const grouped = new Map<string, T[]>();
  for (const item of items) {
    const list = grouped.get(item.head.instance.name);
    if (list === undefined) grouped.set(item.head.instance.name, [item]);
    else list.push(item);
  }
  return grouped;
}
