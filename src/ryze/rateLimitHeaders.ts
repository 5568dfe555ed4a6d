/** The server's count of a token's requests, as every answer tells it in `X-RateLimit-*`. */
import type { RateLimitReading } from './outcome.ts';

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * null unless all three headers are there and make sense. `X-RateLimit-Reset` is in seconds since 1970 by the server's
 * clock, so it is compared with the answer's own `Date` where there is one, else with `nowMs`.
 */
export function readRateLimit(headers: Headers, nowMs: number): RateLimitReading | null {
  const limit = count(headers['x-ratelimit-limit']);
  const remaining = count(headers['x-ratelimit-remaining']);
  const resetSeconds = count(headers['x-ratelimit-reset']);
  if (limit === null || remaining === null || resetSeconds === null || limit === 0 || remaining > limit) return null;
  const date = typeof headers.date === 'string' ? Date.parse(headers.date) : Number.NaN;
  return { limit, remaining, resetInMs: Math.max(resetSeconds * 1000 - (Number.isNaN(date) ? nowMs : date), 0) };
}

function count(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,12}$/.test(header.trim()) ? Number(header) : null;
}
