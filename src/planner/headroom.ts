/**
 * How many more jobs a token's budget and its instances' gates allow until the planner's next tick. Counts what is queued
 * already, so queues stay short however much is due.
 */

import type { Queue } from 'bullmq';
import type { Budget, Capacity } from '../budget/budget.ts';
import { readProbing } from '../budget/gate.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { verificationScores } from './jobs.ts';
import { inLanes } from './lanes.ts';

const lookAtLua = loadScript('lookAt', import.meta.url);

/** Between two ticks of the planner. */
export const tickMs = 5_000;
/** Instances for one script: it blocks Redis for less than a millisecond. */
const chunk = 100;
const lanes = 20;

export interface HeadroomDependencies extends Database {
  readonly budget: Budget;
  /** The configuration in force when the tick starts. */
  readonly config: Pick<Config, 'instances'>;
  readonly tokenOf: (instance: string) => string;
  readonly queueOf: (instance: string) => Queue;
  /** Called if nothing can be planned now for these instances, or for one of them. All others are planned nevertheless. */
  readonly onFailure: (instances: readonly string[], error: unknown) => void;
}

/** Of the instances that share one token. */
export interface Headroom {
  /** Calls that the token can serve until the next tick, less those that are queued, without verifications. */
  readonly free: number;
  /** Periodic verifications that their share allows until the next tick, less those that are queued. */
  readonly verifications: number;
  /** Records that are due, by instance. */
  readonly due: ReadonlyMap<string, number>;
  /** Instances that are paused. Nothing is released to them. */
  readonly paused: ReadonlySet<string>;
  /** Instances whose gate lets one call at a time through, with the groups that should not be the probe. */
  readonly probing: ReadonlyMap<string, ReadonlySet<string>>;
  /** For each instance with a pace, the resets that it allows until the next tick. */
  readonly paced: ReadonlyMap<string, number>;
}

export async function readHeadroom(
  deps: HeadroomDependencies,
  instances: readonly InstanceConfig[],
  nowMs: number,
): Promise<Headroom> {
  const [seen, capacity] = await Promise.all([lookAtAll(deps, instances, nowMs), smallestCapacity(deps, instances)]);
  const sum = (count: (one: Seen) => number) => seen.reduce((total, one) => total + count(one), 0);
  const verifications = sum((one) => one.verifications);
  const queued = sum(({ waiting, active }) => waiting + active) - verifications;
  const probed = seen.filter(({ opensInMs }) => opensInMs === 0).map(({ instance }) => instance.name);
  const probing = await inLanes(
    probed,
    lanes,
    async (name) => [name, (await readProbing(deps, name, nowMs)).blamed] as const,
  );
  const paced = seen.flatMap(({ instance: { name, paceMs }, waiting, active, delayed }) => {
    if (paceMs === 0) return [];
    return [[name, Math.max(Math.ceil(tickMs / paceMs) - waiting - active - delayed, 0)] as const];
  });
  return {
    free: Math.max(capacity.free - queued, 0),
    verifications: Math.max(Math.min(capacity.verifications, capacity.verificationsSpread) - verifications, 0),
    due: new Map(seen.map(({ instance, due }) => [instance.name, due])),
    paused: new Set(seen.filter(({ opensInMs }) => opensInMs > 0).map(({ instance }) => instance.name)),
    probing: new Map(probing),
    paced: new Map(paced),
  };
}

interface Seen {
  readonly instance: InstanceConfig;
  /** -1: it has no gate. */
  readonly opensInMs: number;
  readonly due: number;
  /** Jobs of its queue. */
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** Of those that wait, the periodic verifications. */
  readonly verifications: number;
}

async function lookAtAll(
  { redis, keys, queueOf }: HeadroomDependencies,
  instances: readonly InstanceConfig[],
  nowMs: number,
): Promise<Seen[]> {
  const chunks = Array.from({ length: Math.ceil(instances.length / chunk) }, (_, i) =>
    instances.slice(i * chunk, (i + 1) * chunk),
  );
  const { from, to } = verificationScores;
  const seen = await inLanes(chunks, lanes, async (some) => {
    const own = some.flatMap(({ name }) => {
      const queue = queueOf(name);
      const states = ['wait', 'prioritized', 'active', 'delayed'].map((state) => queue.toKey(state));
      return [keys.gate(name), keys.due(name), ...states];
    });
    const flat = (await runScript(redis, lookAtLua, own, [nowMs, from, to])) as number[];
    return some.map((instance, i) => {
      const [opensInMs = -1, due = 0, waiting = 0, active = 0, delayed = 0, verifications = 0] = flat.slice(6 * i);
      return { instance, opensInMs, due, waiting, active, delayed, verifications };
    });
  });
  return seen.flat();
}

/** Instances that share a token may have different limits: the smallest one applies. */
async function smallestCapacity(
  { budget, tokenOf }: HeadroomDependencies,
  instances: readonly InstanceConfig[],
): Promise<Pick<Capacity, 'free' | 'verifications' | 'verificationsSpread'>> {
  const byLimit = new Map(instances.map((instance) => [JSON.stringify(instance.rateLimit), instance]));
  const capacities = await Promise.all(
    [...byLimit.values()].map((instance) => budget.capacity(instance, tokenOf(instance.name), tickMs)),
  );
  const smallest = (count: (one: Capacity) => number) => Math.min(...capacities.map(count));
  return {
    free: smallest(({ free }) => free),
    verifications: smallest(({ verifications }) => verifications),
    verificationsSpread: smallest(({ verificationsSpread }) => verificationsSpread),
  };
}

/** Those that their instance's gate lets through. A probing gate gets one, of a group that is not blamed if possible. */
export function admit<T extends { readonly instance: InstanceConfig; readonly recordId: string }>(
  heads: readonly T[],
  { paused, probing }: Headroom,
): T[] {
  const probes = new Set<T | undefined>();
  for (const [name, blamed] of probing) {
    const own = heads.filter(({ instance }) => instance.name === name);
    probes.add(own.find(({ recordId }) => !blamed.has(recordId)) ?? own[0]);
  }
  return heads.filter((head) => {
    const { name } = head.instance;
    return !paused.has(name) && (!probing.has(name) || probes.has(head));
  });
}
