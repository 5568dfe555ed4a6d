/** Reports when an instance is paused and when it works again, and ends a pause that a person may have put right. */

import type { Queue } from 'bullmq';
import { type Gate, openGate, readGate } from '../budget/gate.ts';
import type { Logger } from '../log.ts';
import { type Database, redisTime } from '../redis/database.ts';

export interface Pauses {
  closed(instance: string, gate: Gate): void;
  /** A probe has failed. */
  extended(instance: string, gate: Gate): void;
  opened(instance: string, reason: string): void;
  /** A person has put in a new file, perhaps a new token: what the old one was refused for may be over. */
  reopen(instance: string): Promise<void>;
}

export interface PausesDependencies extends Database {
  readonly log: Logger;
  readonly queueOf: (instance: string) => Queue;
}

export function createPauses(deps: PausesDependencies): Pauses {
  const { log, queueOf } = deps;
  const textOf = (instance: string, { reason, opensInMs }: Gate) =>
    `${instance} is paused for ${Math.ceil(opensInMs / 1000)} s: ${reason}; its jobs wait`;

  function opened(instance: string, reason: string): void {
    log.info({ event: 'gate.opened', instance, reason }, `${instance} works again (it was paused: ${reason})`);
  }

  return {
    closed: (instance, gate) => log.error({ event: 'gate.closed', instance, ...gate }, textOf(instance, gate)),
    extended: (instance, gate) => log.info({ event: 'gate.extended', instance, ...gate }, textOf(instance, gate)),
    opened,
    async reopen(instance) {
      const gate = await readGate(deps, instance, await redisTime(deps));
      if (gate === null || gate.reason === 'throttled' || gate.reason === 'instance_disconnected') return;
      const reason = await openGate(deps, instance);
      if (reason !== null) opened(instance, reason);
      await queueOf(instance).removeRateLimitKey();
    },
  };
}
