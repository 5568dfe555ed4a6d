/**
 * Second opinions on instances whose pause is over while it is unknown whose failure it was: a read of a group that is
 * not blamed, one per instance and tick, and only if a read can open the gate.
 */
import { readGate, readProbing } from '../budget/gate.ts';
import type { InstanceConfig } from '../config/config.ts';
import { refreshInstances } from './agenda.ts';
import { type HeadroomDependencies, tickMs } from './headroom.ts';
import { linkReadJob, type PlannerJob, release } from './jobs.ts';
import { inSeparateLanes } from './lanes.ts';

/** Groups that are candidates, besides the blamed ones. */
const candidates = 50;
const lanes = 50;

/**
 * `gated`: the instances that have a gate, as far as is known. Those that have none are noted. Returns the number of
 * released reads.
 */
export async function releaseOpinions(
  deps: HeadroomDependencies,
  gated: readonly InstanceConfig[],
  nowMs: number,
): Promise<number> {
  const released = await inSeparateLanes(
    gated,
    lanes,
    async ({ name }) => {
      const job = await secondOpinion(deps, name, nowMs);
      if (job !== null) await release(deps.queueOf, [job]);
      return job;
    },
    ({ name }, error) => deps.onFailure([name], error),
  );
  return released.filter((job) => job !== null).length;
}

async function secondOpinion(deps: HeadroomDependencies, instance: string, nowMs: number): Promise<PlannerJob | null> {
  const { redis, keys } = deps;
  const gate = await readGate(deps, instance, nowMs);
  if (gate === null) await refreshInstances(deps, [instance]);
  if (gate === null || gate.opensInMs > 0) return null;
  const { blamed, takesRead } = await readProbing(deps, instance, nowMs);
  if (!takesRead) return null;
  const scheduled = await redis.zrange(keys.due(instance), '0', String(blamed.size + candidates - 1));
  const others = scheduled.filter((recordId) => !blamed.has(recordId));
  // Another group at each tick, since some cannot be read.
  const recordId = others[Math.floor(nowMs / tickMs) % Math.max(others.length, 1)];
  return recordId === undefined ? null : linkReadJob('opinion', { instance, recordId, group: recordId });
}
