/** What the log says of a Redis that cannot be worked with, and what `/readyz` and the metrics name as the reason. */
import type { Logger } from '../log.ts';
import type { ConnectOptions } from './connection.ts';
import { connectionClosed } from './errors.ts';
import { createRefusals } from './refusals.ts';

export interface Outage extends Required<Pick<ConnectOptions, 'onChange' | 'refusals'>> {
  /** The code of the reply by which Redis refuses commands now, or why it is not reachable; null: neither. */
  now(): string | null;
}

export function createOutage(log: Logger): Outage {
  let lost: string | null = null;
  const refusals = createRefusals((change) => {
    if (change === null) return log.warn({ event: 'redis.back' }, 'Redis takes commands again');
    const { reason, why } = change;
    log.error(
      { event: 'redis.refuses', reason },
      `Redis refuses commands: ${why}; work goes on when it takes them again`,
    );
  });
  return {
    refusals,
    now: () => lost ?? refusals.now(),
    onChange(up, why) {
      lost = up ? null : why || connectionClosed;
      if (up) log.warn({ event: 'redis.back' }, 'Redis is back');
      else log.error({ event: 'redis.lost', why }, `Redis is not reachable: ${why}; work goes on when it is back`);
    },
  };
}
