/** The server's count of a token's requests, as every answer tells it in `X-RateLimit-*`. */
import type { RateLimitReading } from './outcome.ts';

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * null unless all three headers are there and make sense. `X-RateLimit-Reset` is in seconds since 1970 by the server's
 * clock, so it is compared with the answer's own `Date` where there is one, else with `nowMs`. Proxies have sent it in
 * milliseconds, and as a time from now: its size shows which.
 */
export function readRateLimit(headers: Headers, nowMs: number): RateLimitReading | null {
  const limit = count(headers['x-ratelimit-limit']);
  const remaining = count(headers['x-ratelimit-remaining']);
  const reset = count(headers['x-ratelimit-reset']);
  if (limit === null || remaining === null || reset === null || limit === 0 || remaining > limit) return null;
  return { limit, remaining, resetInMs: Math.max(fromNowMs(reset, serverTime(headers, nowMs)), 0) };
}

/** `Retry-After`, in seconds or as a date; null: it is missing, or makes no sense. */
export function readRetryAfter(headers: Headers, nowMs: number): number | null {
  const header = headers['retry-after'];
  const seconds = count(header);
  if (seconds !== null) return seconds * 1000;
  const date = typeof header === 'string' ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(date - serverTime(headers, nowMs), 0);
}

/** As seconds since 1970 these are times in 1973 and in 5138. */
const earliestSeconds = 1e8;
const earliestMilliseconds = 1e11;

function fromNowMs(reset: number, nowMs: number): number {
  if (reset < earliestSeconds) return reset * 1000;
  return (reset < earliestMilliseconds ? reset * 1000 : reset) - nowMs;
}

function serverTime({ date }: Headers, nowMs: number): number {
  const told = typeof date === 'string' ? Date.parse(date) : Number.NaN;
  return Number.isNaN(told) ? nowMs : told;
}

function count(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,15}$/.test(header.trim()) ? Number(header) : null;
}
