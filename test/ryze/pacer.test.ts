/** The pace of commands, against the stand-in's own limiter on a virtual clock. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createLimiter, type WindowKind } from '../../dev/standin/limiter.ts';
import { createPacer } from '../../src/ryze/pacer.ts';

const perMs = 60_000;
const token = 'token';

/** A server with a limit, on a clock that only sleeping moves. */
function makeServer(limit: number, window: WindowKind, latencyMs = 5) {
  let nowMs = 1_000_000;
  const limiter = createLimiter({ window, perMs, limit });
  const counted: number[] = [];
  return {
    clock: {
      now: () => nowMs,
      sleep(ms: number) {
        nowMs += ms;
        return Promise.resolve();
      },
    },
    counted,
    /** Calls by others. */
    use: (times: number) => {
      for (let i = 0; i < times; i++) limiter.count(token, nowMs);
    },
    nowMs: () => nowMs,
    call() {
      const { allowed, remaining, resetAt } = limiter.count(token, nowMs);
      if (allowed) counted.push(nowMs);
      nowMs += latencyMs;
      const rateLimit = { limit, remaining, resetInMs: Math.max(Math.ceil((resetAt - nowMs) / 1000) * 1000, 0) };
      if (allowed) return Promise.resolve({ kind: 'listed', rateLimit });
      const failure = { code: 'rate_limited', over: true, message: 'Rate limit exceeded', httpStatus: 429 } as const;
      return Promise.resolve({ kind: 'rejected', ...failure, rateLimit });
    },
    maxInAnyWindow: () =>
      Math.max(...counted.map((from) => counted.filter((at) => at >= from && at < from + perMs).length)),
  };
}

it('uses at most half of the limit, and all of that half', async () => {
  const cases = fc.record({
    limit: fc.integer({ min: 1, max: 60 }),
    inFile: fc.integer({ min: 1, max: 60 }),
    window: fc.constantFrom<WindowKind>('sliding', 'fixed'),
    latencyMs: fc.integer({ min: 0, max: 3_000 }),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ limit, inFile, window, latencyMs }) => {
      const server = makeServer(limit, window, latencyMs);
      const pacer = createPacer({ max: inFile, perMs }, server.clock);
      const half = Math.max(Math.floor(Math.min(limit, inFile) / 2), 1);
      const calls = half * 3 + 1;
      const outcomes = await Promise.all(Array.from({ length: calls }, () => pacer.run(server.call)));
      expect(outcomes.every(({ kind }) => kind === 'listed')).toBe(true);
      expect(server.maxInAnyWindow()).toBeLessThanOrEqual(half);
      expect(pacer.perWindow()).toBe(half);
      expect(server.nowMs() - 1_000_000).toBeLessThan(5 * (perMs + 1_000) + calls * latencyMs);
    }),
    { numRuns: 60 },
  );
});

it('waits while others have left less than half', async () => {
  const server = makeServer(100, 'sliding');
  server.use(60);
  const pacer = createPacer({ max: 100, perMs }, server.clock);
  for (let i = 0; i < 3; i++) await pacer.run(server.call);
  // The first call showed it. The others came when the window of the 60 was over.
  const [first = 0, second = 0, third = 0] = server.counted;
  expect(second - first).toBeGreaterThanOrEqual(perMs - 5);
  expect(third - second).toBeLessThan(10);
});

it('repeats a call that the limit refused, and gives up in the end', async () => {
  const server = makeServer(100, 'fixed');
  server.use(100);
  const pacer = createPacer({ max: 100, perMs }, server.clock);
  expect(await pacer.run(server.call)).toMatchObject({ kind: 'listed' });
  let calls = 0;
  const refuse = () => {
    calls += 1;
    const failure = { code: 'rate_limited', over: true, message: '', httpStatus: 429, retryAfterMs: 7_000 };
    return Promise.resolve({ kind: 'rejected', ...failure });
  };
  const before = server.nowMs();
  expect(await pacer.run(refuse)).toMatchObject({ code: 'rate_limited' });
  expect(calls).toBe(4);
  expect(server.nowMs() - before).toBe(21_000);
});

it('goes on after a call that failed', async () => {
  const pacer = createPacer({ max: 100, perMs });
  const broken = pacer.run(() => Promise.reject(new Error('broken')));
  const next = pacer.run(async () => ({ kind: 'listed' }));
  await expect(broken).rejects.toThrow('broken');
  expect(await next).toEqual({ kind: 'listed' });
});
