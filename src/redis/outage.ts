/** What the log says of a Redis that cannot be worked with, and what `/readyz` and the metrics name as the reason. */
import type { Logger } from '../log.ts';
import type { ConnectOptions } from './connection.ts';
import { connectionClosed, type Refusal, refusalReasons } from './errors.ts';

export interface Refusals {
  /** Called for each refused command. */
  refused(reason: Refusal): void;
  /** Why Redis refuses commands now; null: it takes them. */
  now(): Refusal | null;
  /** The connection is lost: nothing is refused until it is back, which is reported as such. */
  clear(): void;
}

/** `why`: as text, for people. */
export type OnRefusal = (change: { readonly reason: Refusal; readonly why: string } | null) => void;

const reportEveryMs = 60_000;
/** Refused commands are sent again every second: without a refusal for this time, none is left. */
const overMs = 2_500;

export function createRefusals(onRefusal: OnRefusal = () => {}): Refusals {
  const reportedAt = new Map<Refusal, number>();
  let current: Refusal | null = null;
  let isReported = false;
  let timer: NodeJS.Timeout | undefined;

  function end(): void {
    clearTimeout(timer);
    current = null;
    if (isReported) onRefusal(null);
    isReported = false;
  }

  return {
    refused(reason) {
      current = reason;
      clearTimeout(timer);
      timer = setTimeout(end, overMs).unref();
      const nowMs = performance.now();
      if (nowMs - (reportedAt.get(reason) ?? Number.NEGATIVE_INFINITY) < reportEveryMs) return;
      reportedAt.set(reason, nowMs);
      isReported = true;
      onRefusal({ reason, why: refusalReasons[reason] });
    },
    now: () => current,
    clear() {
      clearTimeout(timer);
      current = null;
      isReported = false;
    },
  };
}

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
