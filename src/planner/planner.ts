/**
 * The planner's tick: reads what is due, most overdue first, and puts as much of it onto the instances' queues as the
 * tokens' budgets can serve until the next tick. So queues stay short, one-offs find them nearly empty, and an outage
 * ends without a stampede. What budget is left over goes to reading links back (verification), at least one read a tick.
 *
 * A group whose record cannot be read, or is gone, holds up no other: it is reported, and looked at again later.
 *
 * A tick may run twice or at once with another: a released group is held back in its sorted set, its job's id names
 * the due time, and the record decides in the end. A released job that gets lost is released again after `holdMs`.
 */
import type { Queue } from 'bullmq';
import { type Budget, bucketOf } from '../budget/budget.ts';
import { readGate, readProbing } from '../budget/gate.ts';
import { countJobs } from '../bullmq/counts.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import { type GroupRecord, nextDueAt } from '../groups/record.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { groupBy } from './groupBy.ts';
import { type Head, type Held, hold, readHead } from './hold.ts';
import { countIdleReads, type Read, type Release, releaseReads, releaseScheduled } from './release.ts';
import { askOthers } from './secondOpinion.ts';

/** Between two ticks of the `plan` job. */
export const tickMs = 5_000;
/** A released group is looked at again after this time, in case its job was lost. */
export const holdMs = 60_000;
/** A group that its instance's pace leaves for later is looked at again at the next tick. */
const pacedOutMs = 1_000;
/** Groups read per instance and tick at most: more than any token serves in that time. */
const headSize = 200;

export interface PlannerDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly budget: Budget;
  /** The configuration in force when the tick starts. */
  readonly config: Pick<Config, 'instances'>;
  readonly tokenOf: (instance: string) => string;
  readonly queueOf: (instance: string) => Queue;
}

/** What was done with the groups that are due. */
interface Planned {
  /** Scheduled rotations. */
  readonly released: number;
  /** Reads at first sight, and of groups that came back. */
  readonly reads: number;
  readonly unreadable: readonly { readonly recordId: string; readonly reason: string }[];
  /** Records that are gone, though they have a place in the schedule. */
  readonly lost: readonly string[];
}

export interface Tick extends Planned {
  readonly due: number;
  readonly verifications: number;
  /** Reads that are to show whether a paused instance works. */
  readonly opinions: number;
}

interface InstanceHead extends Head {
  readonly instance: InstanceConfig;
}

export async function tick(deps: PlannerDependencies): Promise<Tick> {
  const { redis, keys } = deps;
  const nowMs = await redisTime(redis, keys);
  const [due, unverified] = await Promise.all([
    readHeads(deps, keys.due, nowMs),
    readHeads(deps, keys.verifications, nowMs),
  ]);

  const planned: Planned[] = [];
  let verifications = 0;
  for (const instances of byBucket(deps, [...due, ...unverified])) {
    const names = new Set(instances.map((instance) => instance.name));
    const mine = (heads: InstanceHead[]) => heads.filter((head) => names.has(head.instance.name));
    const room = await findRoom(deps, instances, nowMs);
    const done = await planDue(deps, mine(due), room, nowMs);
    planned.push(done);
    // Half of the slots that due work leaves unused. At least one read is released even with a backlog.
    const released = done.released + done.reads;
    const unused = mine(due).length <= released ? Math.floor((room.free - released) / 2) : 0;
    const max = Math.max(unused, 1) - room.idle;
    verifications += await planVerifications(deps, mine(unverified), Math.max(max, 0), room, nowMs);
  }
  const served = deps.config.instances.map(({ name }) => name);
  const opinions = await askOthers(deps, served, nowMs, Math.floor(nowMs / tickMs));
  await redis.set(keys.lastTick, nowMs);
  return {
    due: due.length,
    released: planned.reduce((sum, { released }) => sum + released, 0),
    reads: planned.reduce((sum, { reads }) => sum + reads, 0),
    verifications,
    opinions,
    unreadable: planned.flatMap(({ unreadable }) => unreadable),
    lost: planned.flatMap(({ lost }) => lost),
  };
}

async function readHeads(
  { redis, config }: PlannerDependencies,
  key: (instance: string) => string,
  nowMs: number,
): Promise<InstanceHead[]> {
  const heads = await Promise.all(
    config.instances.map(async (instance) => {
      const heads = await readHead(redis, key(instance.name), nowMs, { count: headSize });
      return heads.map((head) => ({ ...head, instance }));
    }),
  );
  return heads.flat().sort((a, b) => a.score - b.score);
}

/** The instances that have something to do, those that share a token together. */
function byBucket(deps: PlannerDependencies, heads: InstanceHead[]): InstanceConfig[][] {
  const buckets = new Map<string, Map<string, InstanceConfig>>();
  for (const { instance } of heads) {
    const bucket = bucketOf(deps.tokenOf(instance.name));
    if (!buckets.has(bucket)) buckets.set(bucket, new Map());
    buckets.get(bucket)?.set(instance.name, instance);
  }
  return [...buckets.values()].map((instances) => [...instances.values()]);
}

interface Room {
  /** Calls that the token can serve until the next tick, less what is queued already and has to be done. */
  readonly free: number;
  /** Periodic verifications that are queued. */
  readonly idle: number;
  /** Instances whose gate is closed: nothing of theirs is released. */
  readonly closed: ReadonlySet<string>;
  /** Instances whose gate lets one call at a time through, with the groups that are not to be the next. */
  readonly probing: ReadonlyMap<string, ReadonlySet<string>>;
  /** Resets that an instance's pace leaves until the next tick, where it keeps one. */
  readonly paced: ReadonlyMap<string, number>;
}

async function findRoom(deps: PlannerDependencies, instances: InstanceConfig[], nowMs: number): Promise<Room> {
  const closed = new Set<string>();
  const probing = new Map<string, ReadonlySet<string>>();
  const paced = new Map<string, number>();
  let free = Number.POSITIVE_INFINITY;
  let queued = 0;
  let idle = 0;
  for (const instance of instances) {
    const [gate, capacity, counts, idleReads] = await Promise.all([
      readGate(deps.redis, deps.keys, instance.name, nowMs),
      deps.budget.capacity(instance, deps.tokenOf(instance.name), tickMs),
      countJobs(deps.queueOf(instance.name)),
      countIdleReads(deps.queueOf(instance.name)),
    ]);
    const unfinished = counts.waiting + counts.active;
    queued += unfinished - idleReads;
    idle += idleReads;
    free = Math.min(free, capacity.free);
    if (gate !== null && gate.opensInMs > 0) closed.add(instance.name);
    else if (gate !== null) {
      const { blamed } = await readProbing(deps.redis, deps.keys, instance.name, nowMs);
      probing.set(instance.name, blamed);
    }
    if (instance.paceMs > 0) {
      const left = Math.ceil(tickMs / instance.paceMs) - unfinished - counts.delayed;
      paced.set(instance.name, Math.max(left, 0));
    }
  }
  return { free: Math.max(free - queued, 0), idle, closed, probing, paced };
}

/** Leaves out what its instance's gate would not let through. */
function admit(heads: InstanceHead[], { closed, probing }: Room): InstanceHead[] {
  const probes = new Map<string, InstanceHead>();
  for (const head of heads) {
    const { name } = head.instance;
    const blamed = probing.get(name);
    if (blamed === undefined) continue;
    const first = probes.get(name);
    if (first === undefined || (blamed.has(first.recordId) && !blamed.has(head.recordId))) probes.set(name, head);
  }
  return heads.filter((head) => {
    const { name } = head.instance;
    return !closed.has(name) && (!probing.has(name) || probes.get(name) === head);
  });
}

/** Releases what is due within the room there is. */
async function planDue(deps: PlannerDependencies, heads: InstanceHead[], room: Room, nowMs: number): Promise<Planned> {
  const chosen = admit(heads, room).slice(0, room.free);
  const records = await Promise.all(chosen.map(({ recordId }) => readable(deps.store.load(recordId))));
  const paced = new Map(room.paced);
  const held: (Held & { readonly instance: string })[] = [];
  const scheduled: (Release & { readonly instance: string })[] = [];
  const reads: (Read & { readonly instance: string })[] = [];
  const unreadable: Planned['unreadable'][number][] = [];
  const lost: string[] = [];
  for (const [i, { recordId, score, instance: config }] of chosen.entries()) {
    const { name: instance, paceMs } = config;
    const loaded = records[i];
    const until = (untilMs: number | null) => held.push({ recordId, score, instance, untilMs });
    if (loaded === undefined || loaded instanceof RecordError) {
      unreadable.push({ recordId, reason: loaded?.message ?? '' });
      until(nowMs + holdMs);
      continue;
    }
    const { record } = loaded;
    const { entry } = record;
    if (entry === null) {
      lost.push(recordId);
      until(nowMs + holdMs);
      continue;
    }
    // Left behind where the group was moved, disabled or removed.
    if (entry.instance !== instance || nextDueAt(record) === null) {
      until(null);
      continue;
    }
    const next = nextOf(record, nowMs);
    const about = { recordId, group: entry.group, instance };
    if (next.do === 'wait') until(next.untilMs);
    else if (next.do === 'read') {
      reads.push(about);
      until(nowMs + holdMs);
    } else if ((paced.get(instance) ?? 1) > 0) {
      const before = scheduled.filter((release) => release.instance === instance).length;
      if (paced.has(instance)) paced.set(instance, (paced.get(instance) ?? 0) - 1);
      scheduled.push({ ...about, dueAt: next.dueAt, releasedAt: nowMs, delayMs: before * paceMs });
      until(nowMs + holdMs);
    } else {
      // Reads keep no pace; rotations come back in their order.
      const readIsDue = record.readDueAt !== null && record.readDueAt <= nowMs;
      if (readIsDue) reads.push(about);
      until(nowMs + pacedOutMs + i);
    }
  }
  for (const [instance, releases] of byInstance(scheduled)) await releaseScheduled(deps.queueOf(instance), releases);
  for (const [instance, some] of byInstance(reads)) await releaseReads(deps.queueOf(instance), 'owed', some);
  for (const [instance, some] of byInstance(held)) await hold(deps.redis, deps.keys.due(instance), some);
  return { released: scheduled.length, reads: reads.length, unreadable, lost };
}

type Next =
  | { readonly do: 'rotate'; readonly dueAt: number }
  | { readonly do: 'read' }
  | { readonly do: 'wait'; readonly untilMs: number };

/** What is due of a group. Scheduled rotations keep to their window, reads come at any time. */
function nextOf({ entry, dueAt, readDueAt }: GroupRecord, nowMs: number): Next {
  const opensAt = entry === null ? nowMs : slideIntoWindow(entry.schedule, nowMs);
  const rotateAt = dueAt === null ? Number.POSITIVE_INFINITY : Math.max(dueAt, opensAt);
  if (dueAt !== null && rotateAt <= nowMs) return { do: 'rotate', dueAt };
  if (readDueAt !== null && readDueAt <= nowMs) return { do: 'read' };
  return { do: 'wait', untilMs: Math.min(rotateAt, readDueAt ?? Number.POSITIVE_INFINITY) };
}

async function planVerifications(
  deps: PlannerDependencies,
  heads: InstanceHead[],
  max: number,
  room: Room,
  nowMs: number,
): Promise<number> {
  const chosen = admit(heads, room).slice(0, max);
  const reads = chosen.map(({ recordId, score, instance }) => {
    return { recordId, group: recordId, instance: instance.name, score, untilMs: nowMs + holdMs };
  });
  for (const [instance, some] of byInstance(reads)) {
    await releaseReads(deps.queueOf(instance), 'idle', some);
    await hold(deps.redis, deps.keys.verifications(instance), some);
  }
  return reads.length;
}

function byInstance<T extends { readonly instance: string }>(items: readonly T[]): Map<string, T[]> {
  return groupBy(items, ({ instance }) => instance);
}
