/**
 * Which instances have something for the planner to do, so that a tick asks only those. Redis holds it in sets of
 * instances. What adds to them does so in the same step as the change that they are derived from: `save.lua`,
 * `postpone.lua`, `judge.lua`, `acquire.lua`. The sets decide nothing: an entry too many costs a look, which removes it.
 * An entry that is missing, because an older version changed an index, delays by at most the time between two refreshes.
 */
import { waitListKeys } from '../budget/budget.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';

const refreshLua = loadScript('refresh', import.meta.url);
const refreshWaitListsLua = loadScript('refreshWaitLists', import.meta.url);

/** Instances, or buckets, for one script: it blocks Redis for less than a millisecond. */
const chunk = 100;

/** Instances of the file in force. */
export interface Agenda {
  /** With a record that is due, most overdue first. */
  readonly due: readonly InstanceConfig[];
  /** With a verification that is due, most overdue first. */
  readonly unverified: readonly InstanceConfig[];
  readonly gated: readonly InstanceConfig[];
}

export async function readAgenda(
  { redis, keys, config }: Database & { readonly config: Pick<Config, 'instances'> },
  nowMs: number,
): Promise<Agenda> {
  const [due, unverified, gated] = await Promise.all([
    redis.zrangebyscore(keys.firstDue, '-inf', nowMs),
    redis.zrangebyscore(keys.firstVerification, '-inf', nowMs),
    redis.smembers(keys.gates),
  ]);
  const byName = new Map(config.instances.map((instance) => [instance.name, instance]));
  const known = (names: readonly string[]) => names.flatMap((name) => byName.get(name) ?? []);
  return { due: known(due), unverified: known(unverified), gated: known(gated) };
}

/** Makes what Redis holds of these instances match their indexes and gates. */
export async function refreshInstances({ redis, keys }: Database, instances: readonly string[]): Promise<void> {
  await inChunks(instances, (some) => {
    const own = some.flatMap((name) => [keys.due(name), keys.verifications(name), keys.gate(name)]);
    return runScript(redis, refreshLua, [keys.firstDue, keys.firstVerification, keys.gates, ...own], some);
  });
}

/** The same for the wait lists of these buckets. */
export async function refreshWaitLists({ redis, keys }: Database, buckets: readonly string[]): Promise<void> {
  await inChunks(buckets, (some) => {
    const own = some.flatMap((bucket) => waitListKeys(keys, bucket).filter((_, i) => i % 2 === 0));
    return runScript(redis, refreshWaitListsLua, [keys.waitLists, ...own], some);
  });
}

async function inChunks(names: readonly string[], run: (some: readonly string[]) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < names.length; from += chunk) await run(names.slice(from, from + chunk));
}
