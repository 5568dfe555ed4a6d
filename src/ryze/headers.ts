/** What an answer's headers say: of the token's limit, `X-RateLimit-*` and `Retry-After`; of another address. Pure. */
import type { CallOutcome } from './outcome.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * null unless all three headers are present and plausible. `X-RateLimit-Reset` is in seconds since 1970 by the server's
 * clock, so it is compared with the answer's own `Date` if there is one, else with `nowMs`. Proxies have sent it in
 * milliseconds, and as a time from now: its size shows which.
 */
export function readRateLimit(headers: Headers, nowMs: number): NonNullable<CallOutcome['rateLimit']> | null {
  const limit = count(headers['x-ratelimit-limit']);
  const remaining = count(headers['x-ratelimit-remaining']);
  const reset = count(headers['x-ratelimit-reset']);
  if (limit === null || remaining === null || reset === null || limit === 0 || remaining > limit) return null;
  return { limit, remaining, resetInMs: Math.max(fromNowMs(reset, serverTime(headers, nowMs)), 0) };
}

/** `Retry-After`, in seconds or as a date. null if it is missing or implausible. */
export function readRetryAfter(headers: Headers, nowMs: number): number | null {
  const header = headers['retry-after'];
  const seconds = count(header);
  if (seconds !== null) return seconds * 1000;
  const date = typeof header === 'string' ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(date - serverTime(headers, nowMs), 0);
}

/**
 * The address that a redirect points to, without what may be secret in it: the base URL that would be right, if the rest
 * of the path is the same. null if the answer is not a redirect.
 */
export function readRedirect(status: number, { location }: Headers, requestUrl: string): string | null {
  if (status < 300 || status > 399 || typeof location !== 'string' || !URL.canParse(location, requestUrl)) return null;
  const [from, to] = [new URL(requestUrl), new URL(location, requestUrl)];
  const rest = from.pathname.slice(from.pathname.lastIndexOf('/api/'));
  return to.pathname.endsWith(rest) ? to.origin + to.pathname.slice(0, -rest.length) : `${to.origin}/`;
}

/** As seconds since 1970, these are in the years 1973 and 5138. */
const earliestSeconds = 1e8;
const earliestMilliseconds = 1e11;

function fromNowMs(reset: number, nowMs: number): number {
  if (reset < earliestSeconds) return reset * 1000;
  return (reset < earliestMilliseconds ? reset * 1000 : reset) - nowMs;
}

function serverTime({ date }: Headers, nowMs: number): number {
  const answeredAt = typeof date === 'string' ? Date.parse(date) : Number.NaN;
  return Number.isNaN(answeredAt) ? nowMs : answeredAt;
}

function count(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,15}$/.test(header.trim()) ? Number(header) : null;
}
