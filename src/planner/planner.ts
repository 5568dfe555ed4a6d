/**
 * The planner's tick: reads what is due, most overdue first, and queues as much of it as the tokens' budgets can serve
 * until the next tick. So queues stay short, one-offs find them nearly empty, and an outage ends without a stampede.
 * What is left goes to periodic verification, up to its share of the limit. Tokens are handled side by side, and an
 * instance with nothing to do costs nothing.
 *
 * A token whose work cannot be planned delays no other, nor does a group whose record is unreadable or gone. Both are
 * reported. The token is planned by the next tick, and the group is looked at again later.
 *
 * A tick may run twice, or at the same time as another: a released group is postponed in its index, its job id contains
 * the due time, and in the end the record decides. A released job that gets lost is released again after `postponeMs`.
 */

import { bucketOf } from '../budget/budget.ts';
import type { InstanceConfig } from '../config/config.ts';
import { type GroupRecord, nextDueAt } from '../groups/record.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { redisTime } from '../redis/database.ts';
import type { Keys } from '../redis/keys.ts';
import { slideIntoWindow } from '../schedule/schedule.ts';
import { type Agenda, readAgenda, refreshInstances } from './agenda.ts';
import { admit, type Headroom, type HeadroomDependencies, readHeadroom, tickMs } from './headroom.ts';
import {
  dueIndex,
  type Head,
  type Index,
  linkReadJob,
  type PlannerJob,
  type Postponed,
  postpone,
  readHead,
  release,
  rotationJob,
  verificationIndex,
} from './jobs.ts';
import { inLanes, inSeparateLanes } from './lanes.ts';
import { releaseOpinions } from './opinions.ts';

/** A released group is looked at again after this time, in case its job was lost. */
export const postponeMs = 60_000;
/** A rotation that exceeds its instance's pace is looked at again at the next tick. */
const pacedOutMs = 1_000;
/** Groups read per instance and tick: more than any token serves in that time. */
const headSize = 200;
/** Records read for each call that may be released, if many instances share the token. */
const headsPerCall = 4;
/** Tokens handled at a time: enough to hide round trips, few enough not to block the event loop. */
const tokenLanes = 100;
const readLanes = 50;

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
  const { redis, keys, onFailure } = deps;
  const startedAt = performance.now();
  const nowMs = await redisTime(deps);
  const agenda = await readAgenda(deps, nowMs);
  const done = await inSeparateLanes(
    byToken(deps, agenda),
    tokenLanes,
    async (sharing) => {
      // The next tick continues with those that are left, which are the most overdue ones by then.
      if (performance.now() - startedAt >= tickMs) return null;
      return await planToken(deps, sharing, nowMs);
    },
    (sharing, error) => onFailure(namesOf(sharing), error),
  );
  const opinions = await releaseOpinions(deps, agenda.gated, nowMs);
  await redis.set(keys.lastTick, nowMs);
  const planned = done.filter((one) => one !== null);
  return {
    due: planned.reduce((sum, { due }) => sum + due, 0),
    released: planned.reduce((sum, { rotations }) => sum + rotations.length, 0),
    reads: planned.reduce((sum, { reads }) => sum + reads.length, 0),
    verifications: planned.reduce((sum, { verifications }) => sum + verifications, 0),
    opinions,
    unreadable: planned.flatMap(({ unreadable }) => unreadable),
    lost: planned.flatMap(({ lost }) => lost),
  };
}

/** Instances with something to do, which share a token. */
type Sharing = Pick<Agenda, 'due' | 'unverified'>;

function namesOf({ due, unverified }: Sharing): string[] {
  return [...new Set([...due, ...unverified].map(({ name }) => name))];
}

/** In the order of their most overdue records. */
function byToken({ tokenOf }: PlannerDependencies, { due, unverified }: Agenda): Sharing[] {
  const buckets = new Map<string, { due: InstanceConfig[]; unverified: InstanceConfig[] }>();
  const sharing = ({ name }: InstanceConfig) => {
    const bucket = bucketOf(tokenOf(name));
    const known = buckets.get(bucket) ?? { due: [], unverified: [] };
    buckets.set(bucket, known);
    return known;
  };
  for (const instance of due) sharing(instance).due.push(instance);
  for (const instance of unverified) sharing(instance).unverified.push(instance);
  return [...buckets.values()];
}

interface PlannedToken extends Plan {
  readonly due: number;
  readonly verifications: number;
}

async function planToken(deps: PlannerDependencies, sharing: Sharing, nowMs: number): Promise<PlannedToken> {
  const { redis, queueOf } = deps;
  const headroom = await readHeadroom(deps, [...new Set([...sharing.due, ...sharing.unverified])], nowMs);
  const countDue = ({ name }: InstanceConfig) => headroom.due.get(name) ?? 0;
  const due = sharing.due.filter((instance) => countDue(instance) > 0);
  const [heads, unverified] = await Promise.all([
    readHeads(deps, dueIndex, due, { count: headroom.free, headroom, nowMs }),
    readHeads(deps, verificationIndex, sharing.unverified, { count: headroom.verifications, headroom, nowMs }),
  ]);
  const plan = planDue(await load(deps, admit(heads.heads, headroom).slice(0, headroom.free)), headroom, nowMs);
  const allDue = due.reduce((sum, instance) => sum + countDue(instance), 0);
  // With a backlog one read is released, which comes after everything else.
  const hasBacklog = allDue > plan.rotations.length + plan.reads.length;
  const max = hasBacklog ? Math.min(headroom.verifications, 1) : headroom.verifications;
  const verified = admit(unverified.heads, headroom).slice(0, max);
  const reads = verified.map(({ recordId, instance: { name } }) =>
    linkReadJob('idle', { instance: name, recordId, group: recordId }),
  );
  await release(queueOf, [...plan.rotations, ...plan.reads, ...reads]);
  await postpone(redis, [...plan.postponed, ...verified.map((head) => ({ ...head, untilMs: nowMs + postponeMs }))]);
  const notDue = sharing.due.filter((instance) => countDue(instance) === 0).map(({ name }) => name);
  await refreshInstances(deps, [...notDue, ...heads.empty, ...unverified.empty]);
  return { ...plan, due: allDue, verifications: reads.length };
}

interface Heads {
  readonly heads: readonly InstanceHead[];
  /** Instances in whose index nothing is due. */
  readonly empty: readonly string[];
}

/**
 * The most overdue records of these instances, which are sorted by their first ones: those of the first `count`
 * instances, because any others are less overdue. Of many instances, a few of each.
 */
async function readHeads(
  { redis, keys }: PlannerDependencies,
  indexOf: (keys: Keys, instance: string) => Index,
  instances: readonly InstanceConfig[],
  { count, headroom, nowMs }: { readonly count: number; readonly headroom: Headroom; readonly nowMs: number },
): Promise<Heads> {
  const { paused, probing } = headroom;
  const first = instances.filter(({ name }) => !paused.has(name)).slice(0, count);
  const each = Math.min(count, Math.ceil((headsPerCall * count) / Math.max(first.length, 1)));
  const empty: string[] = [];
  const heads = await inLanes(first, readLanes, async (instance) => {
    // Behind all blamed groups there may be one that is not.
    const atLeast = (probing.get(instance.name)?.size ?? 0) + 1;
    const size = Math.min(Math.max(each, atLeast), headSize);
    const own = await readHead(redis, indexOf(keys, instance.name), nowMs, { count: size });
    if (own.length === 0) empty.push(instance.name);
    return own.map((head) => ({ ...head, instance }));
  });
  return { heads: heads.flat().sort((a, b) => a.score - b.score), empty };
}

interface Loaded {
  readonly head: InstanceHead;
  readonly record: GroupRecord | RecordError;
}

async function load({ store }: PlannerDependencies, heads: readonly InstanceHead[]): Promise<Loaded[]> {
  return await inLanes(heads, readLanes, async (head) => {
    const loaded = await readable(store.load(head.recordId));
    return { head, record: loaded instanceof RecordError ? loaded : loaded.record };
  });
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
