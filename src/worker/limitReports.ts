/** Tells an operator, once, where a token's limit is not what the file says, and where others use the token too. */
import type { InstanceConfig } from '../config/config.ts';
import type { Logger } from '../log.ts';

export interface LimitSeen {
  /** As the server tells it; null: it does not. */
  readonly limit: number | null;
  /** Requests of others that the server has counted in this window, as far as it shows. */
  readonly foreign: number;
}

/** Who shares a token shares it all day. */
const sharedEveryMs = 3_600_000;

export function createLimitReports(log: Logger): (instance: InstanceConfig, seen: LimitSeen) => void {
  const limits = new Map<string, number>();
  const sharedAt = new Map<string, number>();

  return ({ name, rateLimit }, { limit, foreign }) => {
    if (limit !== null && limit !== (limits.get(name) ?? rateLimit.max)) {
      limits.set(name, limit);
      const event = { limit, configured: rateLimit.max, instance: name };
      const counts = `the server's limit is ${limit}, the file says ${rateLimit.max}`;
      if (limit < rateLimit.max) log.warn({ event: 'limit.lower', ...event }, `${name}: ${counts}: the lower is kept`);
      else if (limit > rateLimit.max)
        log.warn({ event: 'limit.higher', ...event }, `${name}: ${counts}: raise it there`);
      else log.info({ event: 'limit.same', ...event }, `${name}: the server's limit is what the file says`);
    }
    const now = performance.now();
    if (foreign > 0 && now - (sharedAt.get(name) ?? -sharedEveryMs) >= sharedEveryMs) {
      sharedAt.set(name, now);
      log.warn(
        { event: 'limit.shared', instance: name, foreign },
        `${name}: others use this token too (${foreign} requests in this window): what they use is left out of ours`,
      );
    }
  };
}
