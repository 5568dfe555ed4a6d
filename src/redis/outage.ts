/** Whether Redis can be used now, over all connections of this process, and the log lines about it. */
import type { Logger } from '../log.ts';
import { connectionClosed, type Refusal, refusalReasons } from './errors.ts';

/** What Redis refuses now. Each reason is reported at most once a minute, and its end once. */
export interface Refusals {
  /** Called for each refused command. */
  refused(reason: Refusal): void;
  /** Why Redis refuses commands now, or null if it accepts them. */
  now(): Refusal | null;
  /** Called when the connection is lost: what was refused is reported as the outage from then on. */
  clear(): void;
}

/** Null: Redis accepts commands again. */
export type OnRefusal = (change: { readonly reason: Refusal; readonly why: string } | null) => void;

const reportEveryMs = 60_000;
/** Refused commands are sent again every second, so no refusal for this long means that Redis accepts commands again. */
const overMs = 2_500;

export function createRefusals(onRefusal: OnRefusal = () => {}): Refusals {
  const reportedAt = new Map<Refusal, number>();
  let current: Refusal | null = null;
  let isReported = false;
  let timer: NodeJS.Timeout | undefined;

  function clear(): void {
    clearTimeout(timer);
    current = null;
    isReported = false;
  }

  function end(): void {
    const wasReported = isReported;
    clear();
    if (wasReported) onRefusal(null);
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
    clear,
  };
}

/** For `connectRedis`, which calls `onChange`. */
export interface Outage {
  readonly refusals: Refusals;
  onChange(isConnected: boolean, why: string): void;
  /** Why Redis is unreachable, or the code by which it refuses commands; null if it can be used. */
  now(): string | null;
}

export function createOutage(log: Logger): Outage {
  let lost: string | null = null;
  const refusals = createRefusals((change) => {
    if (change === null) return log.warn({ event: 'redis.back' }, 'Redis accepts commands again');
    const { reason, why } = change;
    log.error({ event: 'redis.refuses', reason }, `Redis refuses commands: ${why}; work resumes when it accepts them`);
  });
  return {
    refusals,
    now: () => lost ?? refusals.now(),
    onChange(isConnected, why) {
      lost = isConnected ? null : why || connectionClosed;
      if (isConnected) log.warn({ event: 'redis.back' }, 'Redis is back');
      else
        log.error(
          { event: 'redis.lost', why },
          `Redis is unreachable: ${why}; work resumes when it is reachable again`,
        );
    },
  };
}
