/** How the checker of the storm measures dead-link time. */
import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import { deadLinks, deadTimes } from './deadLinks.ts';
import type { History, SeenRequest } from './history.ts';
import {
  adopted,
  event,
  first,
  jid,
  links,
  one,
  otherJid,
  place,
  published,
  request,
  right,
  t,
  two,
  wipe,
} from './samples.ts';

describe('dead-link time', () => {
  const slow = (ms: number): History => {
    const late = { ...two, receivedAt: t + 1_050 + ms };
    return { ...right, at: t + 60_000, ...published(first, one, late) };
  };

  it('is measured from the replacement to the receipt of the new link, whatever the id', () => {
    const dead = deadLinks(right).map(({ code, from, to, cause }) => [code, to - from, cause]);
    expect(dead).toEqual([
      ['ONE', 60, 'answered'],
      ['TWO', 60, 'answered'],
    ]);
    const renamed = [first, one, { ...two, group: 'renamed', id: `renamed.${t + 1_100}` }];
    expect(deadLinks({ ...right, ...published(...renamed) })[1]).toMatchObject({ over: true, attributableMs: 60 });
    expect(deadTimes(right)[0]).toBe('answered: 2, p50 60 ms, p99 60 ms, max 60 ms (at most 60 ms attributable)');
  });

  it('also ends with the receipt of a later link', () => {
    const skipped = event(t + 1_100, 'TWO', { revision: t - 1_000, code: 'OLD' });
    expect(deadLinks({ ...right, ...published(first, skipped) })[0]).toMatchObject({
      code: 'ONE',
      attributableMs: 1_060,
    });
  });

  it('is bounded', () => {
    const bound = 10_000 + 3_000 + 5_000;
    expect(check(slow(bound - 100))).toEqual([]);
    expect(check(slow(bound + 100))).toEqual([expect.objectContaining({ promise: expect.stringMatching(/^bounded/) })]);
    const never = check({ ...right, at: t + 60_000, ...published(first, one) });
    expect(never).toContainEqual({ promise: expect.stringMatching(/^bounded/), violations: [expect.any(String)] });
  });

  const excuses: [string, Partial<History>][] = [
    ['Redis was down', { incidents: [{ kind: 'cut', from: t + 1_100, to: t + 9_000 }] }],
    [
      'reads met faults',
      {
        requests: [
          ...right.requests,
          { ...request('info', t + 1_200), fault: 'serverError', status: 500 },
          { ...request('info', t + 8_000), fault: 'silence', status: null },
        ],
      },
    ],
    [
      'the process that read was killed',
      {
        requests: [...right.requests, request('info', t + 1_200)],
        incidents: [{ kind: 'kill', from: t + 1_250, to: t + 1_250 }],
      },
    ],
    ['the job of a read was lost with its queue', { incidents: [wipe('rotations-bot')] }],
    [
      'its instance was paused',
      { pauses: [{ instance: 'bot', reason: 'server_error', from: t + 1_100, to: t + 9_000 }] },
    ],
    ['no worker was running', { incidents: [{ kind: 'noWorker', from: t + 1_200, to: t + 4_000 }] }],
  ];
  it.each(excuses)('excludes only the time in which %s', (_excuse, over) => {
    const limit = { max: 99, perMs: 1 };
    expect(check({ ...slow(22_000), ...over, limit })).toEqual([]);
    expect(check({ ...slow(45_000), ...over, limit })).toContainEqual(
      expect.objectContaining({ promise: expect.stringMatching(/^bounded/) }),
    );
  });

  it('includes the time after the queue of another instance was emptied', () => {
    const limit = { max: 99, perMs: 1 };
    expect(check({ ...slow(22_000), incidents: [wipe('rotations-bot2')], limit })).toContainEqual(
      expect.objectContaining({ promise: expect.stringMatching(/^bounded/) }),
    );
  });

  it('includes the time in which an instance was paused that the group had left long before', () => {
    const long = { ...right, at: t + 200_000, limit: { max: 99, perMs: 1 } };
    const pauses = [{ instance: 'bot', reason: 'server_error', from: t + 60_000, to: t + 120_000 }];
    const places = { [jid]: [place, { from: t + 2_000, group: 'vip', instance: 'bot2' }] };
    const attributable = (over: Partial<History>) => {
      const [, dead] = deadLinks({ ...long, ...over, ...published(first, one) });
      return dead?.attributableMs;
    };
    expect(attributable({ pauses, places })).toBe(attributable({ places }));
    expect(attributable({ pauses })).toBe((attributable({ places }) ?? 0) - 60_000);
  });

  it('excludes the time in which the group has no id and another group has its last one', () => {
    const places = {
      [jid]: [place, { from: t + 1_000, group: null, instance: null }],
      [otherJid]: [{ ...place, from: t + 1_000 }],
    };
    const other = { ...adopted(t + 1_200, 'OTHER', { revision: t + 100, code: 'ONE' }), jid: otherJid };
    const with2 = { ...right.links, [otherJid]: [{ code: 'OTHER', from: t - 5_000, by: 'start' } as const] };
    const late = { ...right, at: t + 30_000, quiet: false, jobs: [], links: with2, ...published(first, one, other) };
    expect(check({ ...late, places })).toEqual([]);
    expect(check(late)).toHaveLength(1);
  });

  it('is attributed to its cause', () => {
    const causeOf = (seen: Partial<SeenRequest>, incidents: History['incidents'], receivedAt = t + 1_110) => {
      const requests = [right.requests[0]!, { ...right.requests[1]!, ...seen }];
      return deadLinks({ ...right, requests, incidents, ...published(first, one, { ...two, receivedAt }) })[1]?.cause;
    };
    const kill = { kind: 'kill', from: t + 1_080, to: t + 1_080 } as const;
    expect(causeOf({ fault: 'slow' }, [])).toBe('answered');
    expect(causeOf({ fault: 'badBody' }, [])).toBe('lost answer');
    expect(causeOf({ status: null }, [kill])).toBe('killed');
    expect(causeOf({ fault: 'badBody' }, [kill])).toBe('lost answer');
    expect(causeOf({ fault: 'badBody' }, [kill], t + 12_000)).toBe('killed');
    expect(causeOf({ fault: 'lateEffect', status: null, end: t + 1_020 }, [])).toBe('late effect');
    const byHand = { ...right, links: { [jid]: [links[0]!, links[1]!, { ...links[2]!, by: 'human' as const }] } };
    expect(deadLinks(byHand)[1]?.cause).toBe('by hand');
  });
});
