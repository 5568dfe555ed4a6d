/**
 * The planner's tick: reads what is due, most overdue first, and queues as much of it as the tokens' budgets can serve
 * until the next tick. So queues stay short, one-offs find them nearly empty, and an outage ends without a stampede.
 * The remaining budget goes to periodic verification, at least one read per tick.
 *
 * A group whose record is unreadable or gone delays no other: it is reported and looked at again later.
 *
 * A tick may run twice, or at the same time as another: a released group is postponed in its index, its job id contains
 * the due time, and in the end the record decides. A released job that gets lost is released again after `postponeMs`.
 */

import { bucketOf } from '../budget/budget.ts';
import { readGate, readProbing } from '../budget/gate.ts';
import type { InstanceConfig } from '../config/config.ts';
import { type GroupRecord, nextDueAt } from '../groups/record.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { redisTime } from '../redis/database.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { admit, type Headroom, type HeadroomDependencies, readHeadroom, tickMs } from './headroom.ts';
import {
  type Head,
  linkReadJob,
  type PlannerJob,
  type Postponed,
  postpone,
  readHead,
  release,
  rotationJob,
} from './jobs.ts';

/** A released group is looked at again after this time, in case its job was lost. */
export const postponeMs = 60_000;
/** A rotation that exceeds its instance's pace is looked at again at the next tick. */
const pacedOutMs = 1_000;
/** Groups read per instance and tick: more than any token serves in that time. */
const headSize = 200;
/** Groups that are candidates for a second opinion, besides the blamed ones. */
const candidates = 50;

export interface PlannerDependencies extends HeadroomDependencies {
  readonly store: GroupStore;
}

export interface Tick {
  readonly due: number;
  /** Scheduled rotations. */
  readonly released: number;
  /** Reads of new groups, and of groups that returned to the file. */
  readonly reads: number;
  readonly verifications: number;
  /** Reads that show whether a paused instance works. */
  readonly opinions: number;
  readonly unreadable: readonly { readonly recordId: string; readonly reason: string }[];
  /** Records that are in an index but no longer exist. */
  readonly lost: readonly string[];
}

interface InstanceHead extends Head {
  readonly instance: InstanceConfig;
}

export async function tick(deps: PlannerDependencies): Promise<Tick> {
  const { redis, keys, queueOf } = deps;
  const nowMs = await redisTime(deps);
  const [due, unverified] = await Promise.all([
    readHeads(deps, keys.due, nowMs),
    readHeads(deps, keys.verifications, nowMs),
  ]);

  const plans: Plan[] = [];
  let verifications = 0;
  for (const instances of byBucket(deps, [...due, ...unverified])) {
    const ofThese = (heads: InstanceHead[]) => heads.filter(({ instance }) => instances.has(instance));
    const headroom = await readHeadroom(deps, instances, nowMs);
    const plan = planDue(await load(deps, admit(ofThese(due), headroom).slice(0, headroom.free)), headroom, nowMs);
    const planned = plan.rotations.length + plan.reads.length;
    // Half of the slots that due work leaves unused. At least one read is released even with a backlog.
    const unused = ofThese(due).length <= planned ? Math.floor((headroom.free - planned) / 2) : 0;
    const max = Math.max(Math.max(unused, 1) - headroom.verifications, 0);
    const verified = admit(ofThese(unverified), headroom).slice(0, max);
    const reads = verified.map(({ recordId, instance: { name } }) =>
      linkReadJob('idle', { instance: name, recordId, group: recordId }),
    );
    await release(queueOf, [...plan.rotations, ...plan.reads, ...reads]);
    await postpone(redis, [...plan.postponed, ...verified.map((head) => ({ ...head, untilMs: nowMs + postponeMs }))]);
    plans.push(plan);
    verifications += reads.length;
  }
  const opinions = await secondOpinions(deps, nowMs);
  await release(queueOf, opinions);
  await redis.set(keys.lastTick, nowMs);
  return {
    due: due.length,
    released: plans.flatMap(({ rotations }) => rotations).length,
    reads: plans.flatMap(({ reads }) => reads).length,
    verifications,
    opinions: opinions.length,
    unreadable: plans.flatMap(({ unreadable }) => unreadable),
    lost: plans.flatMap(({ lost }) => lost),
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

/** The instances with something to do, grouped by the token that they share. */
function byBucket({ tokenOf }: PlannerDependencies, heads: InstanceHead[]): Set<InstanceConfig>[] {
  const buckets = new Map<string, Set<InstanceConfig>>();
  for (const instance of new Set(heads.map((head) => head.instance))) {
    const bucket = bucketOf(tokenOf(instance.name));
    buckets.set(bucket, (buckets.get(bucket) ?? new Set()).add(instance));
  }
  return [...buckets.values()];
}

interface Loaded {
  readonly head: InstanceHead;
  readonly record: GroupRecord | RecordError;
}

async function load({ store }: PlannerDependencies, heads: readonly InstanceHead[]): Promise<Loaded[]> {
  return await Promise.all(
    heads.map(async (head) => {
      const loaded = await readable(store.load(head.recordId));
      return { head, record: loaded instanceof RecordError ? loaded : loaded.record };
    }),
  );
}

interface Plan extends Pick<Tick, 'unreadable' | 'lost'> {
  readonly rotations: readonly PlannerJob[];
  readonly reads: readonly PlannerJob[];
  readonly postponed: readonly Postponed[];
}

/** Decides what to do with each due record. Pure. */
function planDue(loaded: readonly Loaded[], { paced }: Headroom, nowMs: number): Plan {
  const rotations: PlannerJob[] = [];
  const reads: PlannerJob[] = [];
  const postponed: Postponed[] = [];
  const unreadable: Tick['unreadable'][number][] = [];
  const lost: string[] = [];
  const rotationsOf = new Map<string, number>();
  for (const [i, { head, record }] of loaded.entries()) {
    const { recordId } = head;
    const { name: instance, paceMs } = head.instance;
    const lookAgainAt = (untilMs: number | null) => postponed.push({ ...head, untilMs });
    if (record instanceof RecordError) {
      unreadable.push({ recordId, reason: record.message });
      lookAgainAt(nowMs + postponeMs);
      continue;
    }
    const { entry } = record;
    if (entry === null) {
      lost.push(recordId);
      lookAgainAt(nowMs + postponeMs);
      continue;
    }
    // Left behind when the group was moved, disabled or removed.
    if (entry.instance !== instance || nextDueAt(record) === null) {
      lookAgainAt(null);
      continue;
    }
    const next = nextOf(record, nowMs);
    const target = { ...entry, recordId };
    const count = rotationsOf.get(instance) ?? 0;
    if (next.do === 'wait') lookAgainAt(next.untilMs);
    else if (next.do === 'read') {
      reads.push(linkReadJob('owed', target));
      lookAgainAt(nowMs + postponeMs);
    } else if (count < (paced.get(instance) ?? Number.POSITIVE_INFINITY)) {
      rotations.push(rotationJob(target, { dueAt: next.dueAt, releasedAt: nowMs, delayMs: count * paceMs }));
      rotationsOf.set(instance, count + 1);
      lookAgainAt(nowMs + postponeMs);
    } else {
      // The pace does not apply to reads. Rotations are looked at again in their order.
      if (record.readDueAt !== null && record.readDueAt <= nowMs) reads.push(linkReadJob('owed', target));
      lookAgainAt(nowMs + pacedOutMs + i);
    }
  }
  return { rotations, reads, postponed, unreadable, lost };
}

type Next =
  | { readonly do: 'rotate'; readonly dueAt: number }
  | { readonly do: 'read' }
  | { readonly do: 'wait'; readonly untilMs: number };

/** Scheduled rotations stay within their window. Reads do not depend on it. */
function nextOf({ entry, dueAt, readDueAt }: GroupRecord, nowMs: number): Next {
  const opensAt = entry === null ? nowMs : slideIntoWindow(entry.schedule, nowMs);
  const rotateAt = dueAt === null ? Number.POSITIVE_INFINITY : Math.max(dueAt, opensAt);
  if (dueAt !== null && rotateAt <= nowMs) return { do: 'rotate', dueAt };
  if (readDueAt !== null && readDueAt <= nowMs) return { do: 'read' };
  return { do: 'wait', untilMs: Math.min(rotateAt, readDueAt ?? Number.POSITIVE_INFINITY) };
}

/**
 * Second opinions on instances whose pause is over while it is unknown whose failure it was: a read of a group that is
 * not blamed, one per instance and tick, and only if a read can open the gate.
 */
async function secondOpinions(deps: PlannerDependencies, nowMs: number): Promise<PlannerJob[]> {
  const { redis, keys, config } = deps;
  const reads = await Promise.all(
    config.instances.map(async ({ name: instance }) => {
      const gate = await readGate(deps, instance, nowMs);
      if (gate === null || gate.opensInMs > 0) return [];
      const { blamed, takesRead } = await readProbing(deps, instance, nowMs);
      if (!takesRead) return [];
      const scheduled = await redis.zrange(keys.due(instance), '0', String(blamed.size + candidates - 1));
      const others = scheduled.filter((recordId) => !blamed.has(recordId));
      // Another group at each tick, since some cannot be read.
      const recordId = others[Math.floor(nowMs / tickMs) % Math.max(others.length, 1)];
      return recordId === undefined ? [] : [linkReadJob('opinion', { instance, recordId, group: recordId })];
    }),
  );
  return reads.flat();
}
