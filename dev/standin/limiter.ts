/**
 * The stand-in's rate limit: per token, across all endpoints, in a sliding window or in one aligned to the clock. Which
 * kind the real server uses is unknown, so a client must be correct under both.
 */
export type WindowKind = 'sliding' | 'fixed';

export interface LimiterOptions {
  readonly window: WindowKind;
  readonly perMs: number;
  readonly limit: number;
}

export interface Count {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** When the counter resets, in milliseconds since 1970. */
  readonly resetAt: number;
}

export interface Limiter {
  /** Counts a request unless the limit is exhausted. A refused request does not count. */
  count(token: string, nowMs: number): Count;
  /** Returns the current count without counting a request. */
  peek(token: string, nowMs: number): Count;
  setLimit(token: string, limit: number): void;
}

export function createLimiter({ window, perMs, limit: common }: LimiterOptions): Limiter {
  const counted = new Map<string, number[]>();
  const limits = new Map<string, number>();

  function current(token: string, nowMs: number): number[] {
    const from = window === 'sliding' ? nowMs - perMs : Math.floor(nowMs / perMs) * perMs - 1;
    const times = (counted.get(token) ?? []).filter((at) => at > from);
    counted.set(token, times);
    return times;
  }

  function snapshot(token: string, times: number[], nowMs: number, allowed: boolean): Count {
    const limit = limits.get(token) ?? common;
    const resetAt = window === 'sliding' ? (times[0] ?? nowMs) + perMs : (Math.floor(nowMs / perMs) + 1) * perMs;
    return { allowed, limit, remaining: Math.max(limit - times.length, 0), resetAt };
  }

  return {
    count(token, nowMs) {
      const times = current(token, nowMs);
      const allowed = times.length < (limits.get(token) ?? common);
      if (allowed) times.push(nowMs);
      return snapshot(token, times, nowMs, allowed);
    },
    peek: (token, nowMs) => snapshot(token, current(token, nowMs), nowMs, true),
    setLimit(token, limit) {
      limits.set(token, limit);
    },
  };
}
