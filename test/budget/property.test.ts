/**
 * The budget's promises, against arbitrary arrivals, latencies, lost answers, dead processes, edits and both kinds of
 * window.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { WindowKind } from '../../dev/standin/limiter.ts';
import type { Purpose } from '../../src/budget/budget.ts';
import { lastSettings, max, perMs, play, readsOf, type Scenario, scenario, settings, windows } from './budgetModel.ts';

it('no window of the server ever exceeds the limit or the share of verification, and every call is made', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (drawn) => {
      const { counted, refused, sendable } = await play(drawn);
      for (const window of windows(counted)) {
        expect(window.length).toBeLessThanOrEqual(lastSettings(window).max);
        const reads = window.filter(({ purpose }) => purpose === 'verification');
        if (reads.length > 0) expect(reads.length).toBeLessThanOrEqual(readsOf(lastSettings(reads)));
      }
      expect(refused).toBe(0);
      expect(counted).toHaveLength(sendable);
    }),
    { numRuns: 60 },
  );
});

const verification = fc.record({
  afterMs: fc.integer({ min: 0, max: 300 }),
  latencyMs: fc.integer({ min: 1, max: 700 }),
  countedAt: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.constant('answered' as const),
  purpose: fc.constant<Purpose>('verification'),
});
const base = {
  window: fc.constantFrom<WindowKind>('sliding', 'fixed'),
  offsetMs: fc.integer({ min: 0, max: perMs }),
  processes: fc.integer({ min: 1, max: 3 }),
  edits: fc.constant<Scenario['edits']>([]),
};

it('a share of less than one read makes one read in a longer time', async () => {
  const reads = fc.record({ ...base, calls: fc.array(verification, { minLength: 3, maxLength: 8 }) });
  await fc.assert(
    fc.asyncProperty(reads, fc.constantFrom(0.02, 0.05, 0.1), async (drawn, share) => {
      const { counted } = await play(drawn, { from: { ...settings, share } });
      const everyMs = perMs / (max * share);
      const times = counted.map(({ at }) => at);
      for (const [i, at] of times.slice(1).entries()) expect(at - times[i]!).toBeGreaterThanOrEqual(everyMs);
      // It gets all of its share: the next read is made once the answer is as old as that.
      const lastsMs = counted.at(-1)!.grantedAt - counted[0]!.grantedAt;
      expect(lastsMs).toBeLessThanOrEqual((counted.length - 1) * (everyMs + 3 * 700));
    }),
    { numRuns: 15 },
  );
});

/** For about 20 s, other work needs a little more than the whole limit, and verifications as much as they may use. */
const crowd = fc.record({
  ...base,
  calls: fc
    .array(
      fc.tuple(
        fc.record({
          afterMs: fc.integer({ min: 160, max: 200 }),
          latencyMs: fc.integer({ min: 1, max: 40 }),
          countedAt: fc.constant(0.5),
          end: fc.constant('answered' as const),
          purpose: fc.constantFrom<Purpose>('oneOff', 'scheduledReset', 'scheduledReset', 'scheduledRead', 'readBack'),
        }),
        verification.map((one) => ({ ...one, afterMs: 0 })),
      ),
      { minLength: 110, maxLength: 110 },
    )
    .map((pairs) => pairs.flatMap(([other, read], i) => (i % 5 === 4 ? [other, read] : [other]))),
});

it('verification delays other work by no more than its own slot, and still gets a part of its share', async () => {
  await fc.assert(
    fc.asyncProperty(crowd, fc.constantFrom(0.2, 0.4, 1), async (drawn, share) => {
      const from = { ...settings, share };
      const isRead = ({ purpose }: { purpose: Purpose }) => purpose === 'verification';
      const played = (await play(drawn, { from })).counted;
      const alone = (await play({ ...drawn, calls: drawn.calls.filter((one) => !isRead(one)) }, { from })).counted;
      const startedAt = played[0]!.grantedAt;
      const [others, without, reads] = [played.filter((one) => !isRead(one)), alone, played.filter(isRead)].map((of) =>
        of.map(({ grantedAt }) => grantedAt - startedAt).sort((a, b) => a - b),
      ) as [number[], number[], number[]];
      for (const [k, at] of others.entries()) {
        // As if each verification before it had been a call that came before it.
        const before = reads.filter((read) => read <= at).length;
        expect(at).toBeLessThanOrEqual((without[k + before] ?? at) + perMs + 700);
      }
      // Against other work it goes ahead once in ten times that its share allows.
      const crowdedMs = others.at(-1)!;
      const during = reads.filter((read) => read < crowdedMs).length;
      const part = (max * share * crowdedMs) / (10 * perMs);
      expect(during).toBeLessThanOrEqual(1 + part);
      expect(during).toBeGreaterThanOrEqual(part / 4);
      expect(reads).toHaveLength(drawn.calls.filter(isRead).length);
    }),
    { numRuns: 6, endOnFailure: true },
  );
});

it('few waiters ask without success, however many ask at once', async () => {
  const backlog = fc.record({
    ...base,
    calls: fc.array(
      fc.record({
        afterMs: fc.constant(0),
        /** Up to a twenty-fifth of the window: a real one is 60 s. */
        latencyMs: fc.integer({ min: 1, max: 40 }),
        countedAt: fc.constant(0.5),
        end: fc.constant('answered' as const),
        purpose: fc.constantFrom<Purpose>('oneOff', 'scheduledReset'),
      }),
      { minLength: 40, maxLength: 80 },
    ),
    offsetMs: fc.constant(0),
  });
  await fc.assert(
    fc.asyncProperty(backlog, async (drawn) => {
      const { denied, sendable } = await play(drawn);
      expect(denied / sendable).toBeLessThanOrEqual(2);
    }),
    { numRuns: 15 },
  );
});

it('finds a window over the limit if slots are given back `per` after they are sent', async () => {
  const broken = fc.asyncProperty(scenario, async (drawn) => {
    const { counted, refused } = await play(drawn, { rule: 'broken' });
    expect(refused).toBe(0);
    for (const window of windows(counted)) expect(window.length).toBeLessThanOrEqual(max);
  });
  // It ends at the first such window, usually within fifty runs.
  const found = await fc.check(broken, { numRuns: 1_000, endOnFailure: true });
  expect(found.failed).toBe(true);
});
