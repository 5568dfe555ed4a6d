/**
 * What an operator wants to know of every group and instance, read from Redis. Holds no link, code or token, so it may
 * be shown anywhere.
 */

import type { Queue } from 'bullmq';
import { capacityOfBucket } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import { countEvents, countJobs, type EventCounts, type JobCounts, pausedQueues } from '../bullmq/counts.ts';
import { openQueue } from '../bullmq/queues.ts';
import type { Config, GroupConfig, InstanceConfig } from '../config/config.ts';
import type { LinkReason } from '../contract/event.ts';
import { queuesOf, rotationsQueue } from '../contract/queueNames.ts';
import { type GroupRecord, newRecord } from '../groups/record.ts';
import { createGroupStore, RecordError, readable } from '../groups/store.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { nextDue } from '../schedule/schedule.ts';

/** In the order in which a person wants to see them. */
export const groupStates = [
  'unreadable_record',
  'uncertain',
  'duplicate',
  'failing',
  'overdue',
  'rotating',
  'unverified',
  'new',
  'fresh',
  'disabled',
] as const;
/**
 * `unreadable_record`: this version cannot read its record in Redis; `uncertain`: a call may have changed the link without
 * our knowing; `duplicate`: the same WhatsApp group as another; `failing`: the last rotation gave up; `overdue`: due for
 * longer than the planner needs; `unverified`: its link was never shown, or could not be read several times in a row;
 * `new`: no link yet.
 */
export type GroupState = (typeof groupStates)[number];

export interface GroupStatus {
  readonly group: string;
  readonly instance: string;
  readonly state: GroupState;
  /** Since the link was stored; null: none was yet. */
  readonly linkAgeMs: number | null;
  /** From the making of its link to the rotation that its schedule has next; null: there is no link, or no schedule. */
  readonly periodMs: number | null;
  readonly revision: number | null;
  /** How it came by its link; null: there is none, or nobody knows any more. */
  readonly linkBy: LinkReason | null;
  readonly nextRotationAt: string | null;
  readonly lastError: { readonly code: string; readonly message: string; readonly at: string } | null;
  /** Reads in a row that failed or were shown no link. */
  readonly unverified: number;
}

export interface InstanceStatus {
  readonly instance: string;
  /** null: no worker has used this instance's token yet. */
  readonly budget: { readonly used: number; readonly limit: number; readonly foreign: number } | null;
  readonly gate: { readonly reason: string; readonly opensInMs: number } | null;
  readonly queue: JobCounts;
}

export interface Status {
  readonly at: string;
  /** Since the planner's last tick; null: it never ran. */
  readonly lastTickAgeMs: number | null;
  readonly groups: readonly GroupStatus[];
  readonly instances: readonly InstanceStatus[];
  /** BullMQ queues that somebody has paused. */
  readonly paused: readonly string[];
  /** Events committed and not yet published, per results queue. */
  readonly outbox: Readonly<Record<string, number>>;
  /** Events published that no consumer is done with, per results queue. */
  readonly results: Readonly<Record<string, number>>;
  /** The same, by how they stand. */
  readonly resultsByState: Readonly<Record<string, EventCounts>>;
}

/** Due for longer than this, a group is overdue: a tick, a call and some waiting in between are normal. */
const overdueAfterMs = 60_000;
/** Reads in a row that fail now and then are normal. */
const unverifiedAfter = 3;

export async function readStatus(redis: RedisClient, keys: Keys, config: Config): Promise<Status> {
  const nowMs = await redisTime(redis, keys);
  const store = createGroupStore(redis, keys);
  const { prefix } = config.redis;
  const { queues } = config.results;
  const known = await store.registrations(config.groups.map(({ id }) => id));
  const [groups, instances, lastTick, paused, outbox, results] = await Promise.all([
    Promise.all(
      config.groups.map(async (group) => {
        const loaded = await readable(store.load(known.get(group.id)?.recordId ?? group.id));
        return loaded instanceof RecordError
          ? unreadableStatus(group, loaded, nowMs)
          : groupStatus(group, loaded.record, nowMs);
      }),
    ),
    Promise.all(config.instances.map((instance) => instanceStatus(redis, keys, prefix, instance, nowMs))),
    redis.get(keys.lastTick),
    pausedQueues(redis, prefix, queuesOf(config)),
    Promise.all(queues.map(async (queue) => [queue, await redis.llen(keys.outbox(queue))] as const)),
    Promise.all(queues.map(async (queue) => [queue, await counts(redis, prefix, queue, countEvents)] as const)),
  ]);
  groups.sort((a, b) => groupStates.indexOf(a.state) - groupStates.indexOf(b.state) || compare(a.group, b.group));
  return {
    at: new Date(nowMs).toISOString(),
    // Redis's clock may have been set back since.
    lastTickAgeMs: lastTick === null ? null : Math.max(nowMs - Number(lastTick), 0),
    groups,
    instances,
    paused,
    outbox: Object.fromEntries(outbox),
    results: Object.fromEntries(results.map(([queue, events]) => [queue, totalOf(events)])),
    resultsByState: Object.fromEntries(results),
  };
}

function unreadableStatus(group: GroupConfig, { message }: RecordError, nowMs: number): GroupStatus {
  const at = new Date(nowMs).toISOString();
  return {
    ...groupStatus(group, newRecord, nowMs),
    state: 'unreadable_record',
    lastError: { code: 'unreadable_record', message, at },
  };
}

/** Pure. */
export function groupStatus(group: GroupConfig, record: GroupRecord, nowMs: number): GroupStatus {
  return {
    group: group.id,
    instance: group.instance,
    state: stateOf(group, record, nowMs),
    linkAgeMs: record.rotatedAt === null ? null : nowMs - record.rotatedAt,
    periodMs: group.enabled && record.rotatedAt !== null ? periodFrom(group, record.rotatedAt) : null,
    revision: record.revision,
    linkBy: record.reason,
    nextRotationAt: record.dueAt === null || !group.enabled ? null : new Date(record.dueAt).toISOString(),
    lastError:
      record.failure === null
        ? null
        : {
            code: record.failure.code,
            message: record.failure.message,
            at: new Date(record.failure.at).toISOString(),
          },
    unverified: record.unverified,
  };
}

/** Working one out takes a tenth of a millisecond for cron: it is kept for each group until it gets another link. */
const periods = new WeakMap<GroupConfig, { readonly fromMs: number; readonly periodMs: number }>();

function periodFrom(group: GroupConfig, fromMs: number): number {
  const known = periods.get(group);
  if (known?.fromMs === fromMs) return known.periodMs;
  const periodMs = nextDue(group.schedule, fromMs) - fromMs;
  periods.set(group, { fromMs, periodMs });
  return periodMs;
}

function stateOf(group: GroupConfig, record: GroupRecord, nowMs: number): GroupState {
  const { attempt } = record;
  // A reset whose process is gone may have had an effect.
  const isAbandoned = attempt?.call === 'reset' && attempt.leaseUntil <= nowMs;
  if (record.uncertain !== null || isAbandoned) return 'uncertain';
  if (record.duplicateOf !== null) return 'duplicate';
  if (attempt !== null && attempt.leaseUntil > nowMs) return 'rotating';
  if (record.failure !== null) return 'failing';
  if (!group.enabled) return 'disabled';
  if (record.dueAt !== null && record.dueAt + overdueAfterMs < nowMs) return 'overdue';
  const isNeverShown = record.link === null && record.unverified > 0;
  if (isNeverShown || record.unverified >= unverifiedAfter) return 'unverified';
  return record.revision === null ? 'new' : 'fresh';
}

async function instanceStatus(
  redis: RedisClient,
  keys: Keys,
  prefix: string,
  instance: InstanceConfig,
  nowMs: number,
): Promise<InstanceStatus> {
  const [bucket, gate, queue] = await Promise.all([
    redis.hget(keys.buckets, instance.name),
    readGate(redis, keys, instance.name, nowMs),
    counts(redis, prefix, rotationsQueue(instance.name), countJobs),
  ]);
  const capacity = bucket === null ? null : await capacityOfBucket(redis, keys, bucket, instance, 0);
  return {
    instance: instance.name,
    budget: capacity && { used: capacity.used, limit: capacity.limit, foreign: capacity.foreign },
    gate: gate && { reason: gate.reason, opensInMs: gate.opensInMs },
    queue,
  };
}

function totalOf({ waiting, active, delayed, failed }: EventCounts): number {
  return waiting + active + delayed + failed;
}

async function counts<T>(
  redis: RedisClient,
  prefix: string,
  name: string,
  count: (queue: Queue) => Promise<T>,
): Promise<T> {
  const queue = openQueue(name, { redis, prefix });
  try {
    return await count(queue);
  } finally {
    await queue.close();
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
