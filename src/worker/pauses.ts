/** Reports when an instance is paused and when it resumes. Ends a pause whose reason an edit may have removed. */
import type { Queue } from 'bullmq';
import { type Gate, openGate, readGate } from '../budget/gate.ts';
import type { Logger } from '../log.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { mayEndByEdit } from '../ryze/policy.ts';

export function createPauses({
  log,
  queueOf,
  ...db
}: Database & { readonly log: Logger; readonly queueOf: (instance: string) => Queue }) {
  const textOf = (instance: string, { reason, opensInMs }: Gate) =>
    `${instance} is paused for ${Math.ceil(opensInMs / 1000)} s: ${reason}; its jobs wait`;

  function opened(instance: string, reason: string): void {
    log.info({ event: 'gate.opened', instance, reason }, `${instance} resumes (it was paused: ${reason})`);
  }

  return {
    closed: (instance: string, gate: Gate) =>
      log.error({ event: 'gate.closed', instance, ...gate }, textOf(instance, gate)),
    /** A probe has failed. */
    extended: (instance: string, gate: Gate) =>
      log.info({ event: 'gate.extended', instance, ...gate }, textOf(instance, gate)),
    opened,
    /** Called after an edit: the new file, or a new token, may have removed the reason for the pause. */
    async reopen(instance: string): Promise<void> {
      const gate = await readGate(db, instance, await redisTime(db));
      if (gate === null || !mayEndByEdit(gate.reason)) return;
      const reason = await openGate(db, instance);
      if (reason !== null) opened(instance, reason);
      await queueOf(instance).removeRateLimitKey();
    },
  };
}
