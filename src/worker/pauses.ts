/** Reports when an instance is paused and when it works again, and ends a pause that a person may have put right. */
import type { Queue } from 'bullmq';
import { type Gate, openGate, readGate } from '../budget/gate.ts';
import type { Logger } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';

export interface Pauses {
  closed(instance: string, gate: Gate): void;
  /** A probe has failed. */
  extended(instance: string, gate: Gate): void;
  opened(instance: string, reason: string): void;
  /** A person has put in a new file, perhaps a new token: what the old one was refused for may be over. */
  reopen(instance: string): Promise<void>;
}

export interface PausesDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly log: Logger;
  readonly queueOf: (instance: string) => Queue;
}

export function createPauses({ redis, keys, log, queueOf }: PausesDependencies): Pauses {
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
      const gate = await readGate(redis, keys, instance, await redisTime(redis, keys));
      if (gate === null || gate.reason === 'throttled' || gate.reason === 'instance_disconnected') return;
      const reason = await openGate(redis, keys, instance);
      if (reason !== null) opened(instance, reason);
      await queueOf(instance).removeRateLimitKey();
    },
  };
}
