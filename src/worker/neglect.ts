/**
 * Finds instances of other workers whose jobs make no progress: the workers chosen for them hang, or cannot serve them
 * for a reason that they do not know themselves.
 */
import { readGate } from '../budget/gate.ts';
import { isRunnable, readQueues } from '../bullmq/counts.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { redisTime } from '../redis/database.ts';
import type { Base } from './base.ts';

/** Longer than the watchdog needs to open a worker that hangs again. */
const minNeglectedMs = 45_000;
/** A call may take its whole timeout, and some time passes until the next one. */
const marginMs = 15_000;

interface Unchanged {
  readonly heads: string;
  readonly since: number;
}

export function watchNeglect(base: Base) {
  const { redis, prefix, queueOf, config } = base;
  /** By instance, of those with jobs that could be taken or are active. */
  let before: ReadonlyMap<string, Unchanged> = new Map();

  async function couldProceed(instance: string): Promise<boolean> {
    const nowMs = await redisTime(base);
    return (await isRunnable(redis, queueOf(instance), nowMs)) && (await readGate(base, instance, nowMs)) === null;
  }

  return {
    /**
     * Those of the instances whose next job and oldest active one have not changed for a while, and those of `neglected`
     * that still have jobs.
     */
    async look(instances: readonly string[], neglected: ReadonlySet<string>): Promise<ReadonlySet<string>> {
      const states = await readQueues(redis, prefix, instances.map(rotationsQueue));
      const now = performance.now();
      const neglectedMs = Math.max(minNeglectedMs, config().api.timeoutMs + marginMs);
      const found = new Set<string>();
      const next = new Map<string, Unchanged>();
      for (const instance of instances) {
        const state = states.get(rotationsQueue(instance));
        if (state === undefined || state.isPaused) continue;
        if (neglected.has(instance) && state.waiting + state.active > 0) found.add(instance);
        if (state.active === 0 && !(await couldProceed(instance))) continue;
        const { heads } = state;
        const known = before.get(instance);
        const since = known?.heads === heads ? known.since : now;
        if (now - since >= neglectedMs) found.add(instance);
        next.set(instance, { heads, since });
      }
      before = next;
      return found;
    },
  };
}
