import { describe, expect, it } from 'vitest';
import { readRateLimit, readRetryAfter } from '../../src/ryze/headers.ts';

const now = Date.parse('2025-11-22T09:00:00Z');
const date = new Date(now + 60_000).toUTCString();
const counted = { 'x-ratelimit-limit': '100', 'x-ratelimit-remaining': '0' };

describe('the reset of the count', () => {
  it.each([
    ['seconds since 1970', String(now / 1000 + 30), 30_000],
    ['milliseconds since 1970', String(now + 30_000), 30_000],
    ['seconds from now', '30', 30_000],
    ['a time in the past', String(now / 1000 - 30), 0],
    ['none', '0', 0],
  ])('is read as %s', (_name, reset, resetInMs) => {
    expect(readRateLimit({ ...counted, 'x-ratelimit-reset': reset }, now)).toEqual({
      limit: 100,
      remaining: 0,
      resetInMs,
    });
  });
  it("is by the server's own clock if it sends the time", () => {
    const reset = String(now / 1000 + 90);
    expect(readRateLimit({ ...counted, 'x-ratelimit-reset': reset, date }, now)).toMatchObject({ resetInMs: 30_000 });
    expect(readRateLimit({ ...counted, 'x-ratelimit-reset': '30', date }, now)).toMatchObject({ resetInMs: 30_000 });
  });
  it.each(['', '-1', 'soon', '1e9', '9999999999999999'])('is ignored as %j', (reset) => {
    expect(readRateLimit({ ...counted, 'x-ratelimit-reset': reset }, now)).toBeNull();
  });
});

describe('Retry-After', () => {
  it.each([
    ['30', 30_000],
    [new Date(now + 30_000).toUTCString(), 30_000],
    [new Date(now - 30_000).toUTCString(), 0],
    ['later', null],
    [undefined, null],
  ])('%j', (header, ms) => {
    expect(readRetryAfter({ 'retry-after': header }, now)).toBe(ms);
  });
});
