import { describe, expect, it } from 'vitest';
import { causeOf, type DeadSpan, deadSpans, summarize } from '../../bench/links/deadTime.ts';
import { makePlan } from '../../bench/links/plan.ts';

const links = (...all: [code: string, from: number][]) => all.map(([code, from]) => ({ code, from }));
const held = (...all: [code: string, at: number][]) => all.map(([code, at]) => ({ code, at }));

describe('deadSpans', () => {
  it('counts from the replacement until the consumer holds the new link', () => {
    const spans = deadSpans(links(['A', 0], ['B', 100]), held(['A', 10], ['B', 130]), 1_000);
    expect(spans).toEqual([{ code: 'B', from: 100, to: 130, isOver: true }]);
  });

  it('goes on over a second replacement, because the consumer still holds a dead link', () => {
    const spans = deadSpans(links(['A', 0], ['B', 100], ['C', 200]), held(['A', 10], ['B', 210], ['C', 250]), 1_000);
    expect(spans).toEqual([{ code: 'B', from: 100, to: 250, isOver: true }]);
  });

  it('lasts until the end of the run if the consumer never learns of the link', () => {
    const spans = deadSpans(links(['A', 0], ['B', 100], ['C', 200]), held(['A', 10], ['B', 110]), 1_000);
    expect(spans).toEqual([
      { code: 'B', from: 100, to: 110, isOver: true },
      { code: 'C', from: 200, to: 1_000, isOver: false },
    ]);
  });
});

it('ranks a link that is still dead above all that are not, however short its time so far', () => {
  const over = Array.from({ length: 9 }, (_, i): DeadSpan => ({ code: 'A', from: 0, to: 100 + i, isOver: true }));
  const { events, p50, p99, worst, stillDead } = summarize([{ code: 'B', from: 0, to: 7, isOver: false }, ...over]);
  expect({ events, p50, stillDead }).toEqual({ events: 10, p50: { ms: 104, isOver: true }, stillDead: [7] });
  expect([p99, worst]).toEqual([
    { ms: 7, isOver: false },
    { ms: 7, isOver: false },
  ]);
});

it.each([
  ['a kill before the link is published', 1_020, 'crash'],
  ['a kill while the request is on the wire', 980, 'crash'],
  ['a kill before the call', 500, 'rotation'],
  ['a kill after the link is published', 1_060, 'rotation'],
])('counts %s as its cause or not', (_, killedAt, cause) => {
  const span = { code: 'B', from: 1_010, to: 1_050, isOver: true };
  expect(causeOf('rotation', span, { sentAt: 1_000, kills: [killedAt], timeoutMs: 500 })).toBe(cause);
});

it('plans the same for the same seed, and no group twice', () => {
  const plan = makePlan(7, 70_000);
  expect(makePlan(7, 70_000)).toEqual(plan);
  expect(makePlan(8, 70_000)).not.toEqual(plan);
  const groups = plan.steps.flatMap((step) => step.groups);
  expect(new Set(groups).size).toBe(groups.length);
});
