/**
 * The planner's tick: reads what is due, most overdue first, and queues as much of it as the tokens' budgets can serve
 * until the next tick. So queues stay short, one-offs find them nearly empty, and an outage ends without a stampede.
 * The remaining budget goes to periodic verification, at least one read per tick.
 *
 * A group whose record is unreadable or gone delays no other: it is reported and looked at again later.
 *
 * A tick may run twice, or at the same time as another: a released group is postponed in its index, its job id contains
 * the due time, and in the end the record decides. If a released job gets lost, it is released again after `postponeMs`.
 */
import { bucketOf } from '../budget/budget.ts';
import { readGate, readProbing } from '../budget/gate.ts';
import type { InstanceConfig } from '../config/config.ts';
import { type GroupRecord, nextDueAt } from '../groups/record.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { redisTime } from '../redis/scripts.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { admit, type Headroom, type HeadroomDependencies, readHeadroom, tickMs } from './headroom.ts';
import {
  type Head,
  type Postponed,
  postpone,
  type Read,
  type Rotation,
  readHead,
  releaseReads,
  releaseRotations,
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

interface Released {
  /** Scheduled rotations. */
  readonly released: number;
  /** Reads of new groups, and of groups that returned to the file. */
  readonly reads: number;
  readonly unreadable: readonly { readonly recordId: string; readonly reason: string }[];
  /** Records that are in an index but no longer exist. */
  readonly lost: readonly string[];
}

export interface Tick extends Released {
  readonly due: number;
  readonly verifications: number;
  /** Reads that show whether a paused instance works. */
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

  const all: Released[] = [];
  let verifications = 0;
  for (const instances of byBucket(deps, [...due, ...unverified])) {
    const names = new Set(instances.map((instance) => instance.name));
    const ofThese = (heads: InstanceHead[]) => heads.filter((head) => names.has(head.instance.name));
    const headroom = await readHeadroom(deps, instances, nowMs);
    const done = await releaseDue(deps, ofThese(due), headroom, nowMs);
    all.push(done);
    // Half of the slots that due work leaves unused. At least one read is released even with a backlog.
    const released = done.released + done.reads;
    const unused = ofThese(due).length <= released ? Math.floor((headroom.free - released) / 2) : 0;
    const max = Math.max(Math.max(unused, 1) - headroom.verifications, 0);
    verifications += await releaseVerifications(deps, admit(ofThese(unverified), headroom).slice(0, max), nowMs);
  }
  const opinions = await releaseOpinions(deps, nowMs);
  await redis.set(keys.lastTick, nowMs);
  return {
    due: due.length,
    released: all.reduce((sum, { released }) => sum + released, 0),
    reads: all.reduce((sum, { reads }) => sum + reads, 0),
    verifications,
    opinions,
    unreadable: all.flatMap(({ unreadable }) => unreadable),
    lost: all.flatMap(({ lost }) => lost),
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
function byBucket(deps: PlannerDependencies, heads: InstanceHead[]): InstanceConfig[][] {
  const buckets = new Map<string, Set<InstanceConfig>>();
  for (const instance of new Set(heads.map((head) => head.instance))) {
    const bucket = bucketOf(deps.tokenOf(instance.name));
    buckets.set(bucket, (buckets.get(bucket) ?? new Set()).add(instance));
  }
  return [...buckets.values()].map((instances) => [...instances]);
}

async function releaseDue(
  deps: PlannerDependencies,
  heads: InstanceHead[],
  headroom: Headroom,
  nowMs: number,
): Promise<Released> {
  const chosen = await Promise.all(
    admit(heads, headroom)
      .slice(0, headroom.free)
      .map(async (head) => ({ head, loaded: await readable(deps.store.load(head.recordId)) })),
  );
  const rotations: Rotation[] = [];
  const reads: Read[] = [];
  const postponed: Postponed[] = [];
  const unreadable: Released['unreadable'][number][] = [];
  const lost: string[] = [];
  const rotationsOf = new Map<string, number>();
  for (const [i, { head, loaded }] of chosen.entries()) {
    const { recordId } = head;
    const { name: instance, paceMs } = head.instance;
    const lookAgainAt = (untilMs: number | null) => postponed.push({ ...head, untilMs });
    if (loaded instanceof RecordError) {
      unreadable.push({ recordId, reason: loaded.message });
      lookAgainAt(nowMs + postponeMs);
      continue;
    }
    const { record } = loaded;
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
    const job = { instance, recordId, group: entry.group };
    const count = rotationsOf.get(instance) ?? 0;
    if (next.do === 'wait') lookAgainAt(next.untilMs);
    else if (next.do === 'read') {
      reads.push(job);
      lookAgainAt(nowMs + postponeMs);
    } else if (count < (headroom.paced.get(instance) ?? Number.POSITIVE_INFINITY)) {
      rotations.push({ ...job, dueAt: next.dueAt, releasedAt: nowMs, delayMs: count * paceMs });
      rotationsOf.set(instance, count + 1);
      lookAgainAt(nowMs + postponeMs);
    } else {
      // The pace does not apply to reads. Rotations are looked at again in their order.
      if (record.readDueAt !== null && record.readDueAt <= nowMs) reads.push(job);
      lookAgainAt(nowMs + pacedOutMs + i);
    }
  }
  await releaseRotations(deps.queueOf, rotations);
  await releaseReads(deps.queueOf, 'owed', reads);
  await postpone(deps.redis, postponed);
  return { released: rotations.length, reads: reads.length, unreadable, lost };
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

async function releaseVerifications(
  { redis, queueOf }: PlannerDependencies,
  heads: InstanceHead[],
  nowMs: number,
): Promise<number> {
  const reads = heads.map(({ recordId, instance }) => ({ instance: instance.name, recordId, group: recordId }));
  await releaseReads(queueOf, 'idle', reads);
  await postpone(
    redis,
    heads.map((head) => ({ ...head, untilMs: nowMs + postponeMs })),
  );
  return reads.length;
}

/**
 * Asks for second opinions on instances whose pause is over while it is unknown whose failure it was: a read of a group
 * that is not blamed, one per instance and tick, and only if a read can open the gate. Returns how many it released.
 */
async function releaseOpinions({ redis, keys, config, queueOf }: PlannerDependencies, nowMs: number): Promise<number> {
  const reads = await Promise.all(
    config.instances.map(async ({ name: instance }): Promise<Read[]> => {
      const gate = await readGate(redis, keys, instance, nowMs);
      if (gate === null || gate.opensInMs > 0) return [];
      const { blamed, takesRead } = await readProbing(redis, keys, instance, nowMs);
      if (!takesRead) return [];
      const scheduled = await redis.zrange(keys.due(instance), '0', String(blamed.size + candidates - 1));
      const others = scheduled.filter((recordId) => !blamed.has(recordId));
      // Another group at each tick, since some cannot be read.
      const recordId = others[Math.floor(nowMs / tickMs) % Math.max(others.length, 1)];
      return recordId === undefined ? [] : [{ instance, recordId, group: recordId }];
    }),
  );
  await releaseReads(queueOf, 'opinion', reads.flat());
  return reads.flat().length;
}
