/** The storm's checker against histories that are right, and wrong in one thing each. */
import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import { deadLinks, deadTimes } from './deadLinks.ts';
import type { History, SeenEvent, SeenRequest } from './history.ts';

const t = 1_763_802_000_000;
const jid = '120363406289005073@g.us';
const otherJid = '120363406289005074@g.us';

interface Before {
  readonly revision: number;
  readonly code: string;
}

function event(revision: number, code: string, before: Before | null, group = 'vip'): SeenEvent {
  return {
    id: `${group}.${revision}`,
    type: 'link.rotated',
    group,
    jid,
    inviteCode: code,
    previousInviteCode: before?.code ?? null,
    revision,
    previousRevision: before?.revision ?? null,
    reason: 'request',
    request: null,
    rotatedAt: new Date(revision).toISOString(),
    receivedAt: revision + 10,
  };
}
function adopted(revision: number, code: string, before: Before | null, group = 'vip'): SeenEvent {
  return { ...event(revision, code, before, group), type: 'link.changed', reason: 'adopted' };
}
function request(endpoint: string, begin: number): SeenRequest {
  const answer = { end: begin + 100, status: 200, countedAt: begin, effect: null, fault: null };
  return { endpoint, token: 'the-token', jid, begin, ...answer };
}
function reset(begin: number, code: string): SeenRequest {
  return { ...request('reset', begin), effect: { at: begin + 50, code } };
}
/** Consumers of one queue, to which these events were added in this order. */
function published(...events: SeenEvent[]): Pick<History, 'events' | 'added'> {
  const added = events.map(({ id, receivedAt }) => ({ id, at: receivedAt - 5 }));
  return { events: { links: events }, added: { links: added } };
}
const place = { from: t - 5_000, group: 'vip', instance: 'bot' };
const first = adopted(t - 1_000, 'OLD', null);
const one = event(t + 100, 'ONE', { revision: t - 1_000, code: 'OLD' });
const two = event(t + 1_100, 'TWO', { revision: t + 100, code: 'ONE' });
const wipe = (queue: string) => ({ kind: 'wipe', from: t + 1_200, to: t + 1_210, queue }) as const;
const right: History = {
  at: t + 2_000,
  requests: [reset(t, 'ONE'), reset(t + 1_000, 'TWO')],
  ...published(first, one, two),
  jobs: [
    {
      requestId: 'r1',
      name: 'vip',
      queue: 'rotations-bot',
      askedAt: t + 900,
      endedAt: t + 1_100,
      state: 'completed',
      failedReason: null,
      result: { status: 'rotated', inviteCode: 'TWO', rotatedAt: '' },
    },
  ],
  links: {
    [jid]: [
      { code: 'OLD', from: t - 5_000, by: 'start' },
      { code: 'ONE', from: t + 50, by: 'us' },
      { code: 'TWO', from: t + 1_050, by: 'us' },
    ],
  },
  places: { [jid]: [place] },
  calmAt: null,
  instances: ['bot'],
  troubles: [],
  pauses: [],
  verify: true,
  limit: { max: 2, perMs: 2_000 },
  settleMs: 3_000,
  leaseMs: 10_000,
  output: '{"msg":"vip: new link"}',
  secrets: ['TWO', 'the-token'],
  quiet: true,
};
const links = right.links[jid]!;
const job = right.jobs[0]!;

function promisesBroken(over: Partial<History>): string[] {
  return check({ ...right, ...over }).map(({ promise }) => promise);
}

it('finds nothing in a history that is right, repeats included', () => {
  expect(check(right)).toEqual([]);
  expect(check({ ...right, events: { links: [first, one, two, first, one] } })).toEqual([]);
});

it('knows that a link reset by hand may be taken for that of a call without an answer', () => {
  const byHand = { code: 'HAND', from: t + 600, by: 'human' } as const;
  const untold = { code: 'LOST', from: t + 900, by: 'us' } as const;
  const made = { [jid]: [links[0]!, links[1]!, byHand, untold, links[2]!] };
  const hand = { ...event(t + 800, 'HAND', { revision: t + 100, code: 'ONE' }), reason: 'recovery' };
  const last = event(t + 1_100, 'TWO', { revision: t + 800, code: 'HAND' });
  expect(promisesBroken({ ...published(first, one, hand, last), links: made })).toEqual([]);
  const drift = { ...hand, reason: 'drift' };
  expect(promisesBroken({ ...published(first, one, drift, last), links: made })).toHaveLength(1);
});

const later = { code: 'NEW', from: t + 1_060, by: 'us' } as const;
const wrong: [string, Partial<History>, RegExp][] = [
  ['a dead link that is held', { links: { [jid]: [...links, { ...later, by: 'human' }] } }, /^live: the newest/],
  ['an event that was not delivered', { events: { links: [first, one] } }, /^live: the newest/],
  [
    'a link told of after we had replaced it',
    { links: { [jid]: [...links, { ...later, from: t + 1_000 }] } },
    /^live: no/,
  ],
  ['a link that its group never had', published(first, one, two, { ...two, jid: otherJid }), /^live: no/],
  ['an event out of order', { added: { links: [first, two, one].map(({ id }) => ({ id, at: t })) } }, /^ordered/],
  [
    'an event that names a wrong one before it',
    published(first, one, event(t + 1_100, 'TWO', { revision: t, code: 'ZERO' })),
    /^ordered/,
  ],
  ['a group that is not rotated any more', { calmAt: t + 1_200 }, /^in force/],
  ['a reset before the live link was published', published(event(t + 1_100, 'TWO', null)), /^ordered/],
  ['a window over the limit', { limit: { max: 1, perMs: 1_001 } }, /^within/],
  [
    'a request refused for the limit',
    { requests: [...right.requests, { ...reset(t + 5_000, ''), status: 429, countedAt: null, effect: null }] },
    /^within/,
  ],
  [
    'two resets in flight',
    { requests: [...right.requests, reset(t + 1_050, 'TWO')], limit: { max: 9, perMs: 9 } },
    /^one/,
  ],
  ['a one-off that vanished', { jobs: [{ ...job, state: 'unknown' }] }, /^answered/],
  ['a one-off answered with an older link', { jobs: [{ ...job, askedAt: t + 2_000 }] }, /^answered/],
  [
    'a failure that no event tells of',
    { jobs: [{ ...job, state: 'failed', failedReason: 'timeout: no answer', result: null }] },
    /^answered/,
  ],
  [
    'a reset over a link that was never told of',
    { links: { [jid]: [...links.slice(0, 2), { ...later, from: t + 500 }, links[2]!] } },
    /^frugal/,
  ],
  ['a secret in the output', { output: 'Authorization: the-token' }, /^silent/],
];
describe('finds', () => {
  it.each(wrong)('%s', (_name, over, promise) => {
    expect(promisesBroken(over)).toContainEqual(expect.stringMatching(promise));
  });
});

it('wants every group rotated once the file is in force', () => {
  expect(promisesBroken({ calmAt: t + 1_000 })).toEqual([]);
  expect(promisesBroken({ calmAt: t + 1_000, places: { [jid]: [{ ...place, group: 'renamed' }] } })).toContainEqual(
    expect.stringMatching(/^in force/),
  );
});

it('knows that a read from a cache does not show a link that was made', () => {
  const hidden = { code: 'HIDDEN', from: t + 600, by: 'us' } as const;
  const made = { [jid]: [links[0]!, links[1]!, hidden, links[2]!] };
  const brokenBy = (begin: number, fault: string | null) => {
    const requests = [...right.requests, { ...request('info', begin), fault }];
    return promisesBroken({ links: made, requests, limit: { max: 3, perMs: 2_000 } });
  };
  const frugal = [expect.stringMatching(/^frugal/)];
  expect(brokenBy(t + 700, 'stale')).toEqual([]);
  expect(brokenBy(t + 700, null)).toEqual(frugal);
  expect(brokenBy(t + 500, 'stale')).toEqual(frugal);
});

it("knows that an answer may repeat a person's link", () => {
  const byHand = { code: 'HAND', from: t + 400, by: 'human' } as const;
  const untold = { code: 'UNTOLD', from: t + 650, by: 'us' } as const;
  const made = { [jid]: [links[0]!, links[1]!, byHand, untold, links[2]!] };
  const hand = event(t + 700, 'HAND', { revision: t + 100, code: 'ONE' });
  const last = event(t + 1_100, 'TWO', { revision: t + 700, code: 'HAND' });
  const frugalWith = (fault: string | null) => {
    const requests = [...right.requests, { ...reset(t + 600, 'UNTOLD'), fault }];
    const over = { links: made, requests, limit: { max: 3, perMs: 2_000 }, ...published(first, one, hand, last) };
    return promisesBroken(over).some((promise) => promise.startsWith('frugal'));
  };
  expect([frugalWith('repeat'), frugalWith(null)]).toEqual([false, true]);
});

it('counts the limit by token', () => {
  const twoTokens = right.requests.map((seen, i) => ({ ...seen, token: `token ${i}` }));
  expect(promisesBroken({ requests: twoTokens, limit: { max: 1, perMs: 2_000 } })).toEqual([]);
});

describe('people, where links are not verified', () => {
  const byHand = { code: 'HAND', from: t + 1_500, by: 'human' } as const;

  it('may leave consumers with a dead link', () => {
    const made = { [jid]: [...links, byHand] };
    expect(promisesBroken({ links: made, verify: false })).toEqual([]);
    expect(promisesBroken({ links: made, verify: true })).toHaveLength(1);
  });

  it('excuse nothing once we have reset the link after them', () => {
    const made = { [jid]: [...links, byHand, { code: 'OURS', from: t + 1_600, by: 'us' } as const] };
    expect(promisesBroken({ links: made, verify: false })).toContainEqual(expect.stringMatching(/^live: the newest/));
  });
});

describe('an id that changes', () => {
  const moved = { from: t + 1_500, group: 'renamed', instance: 'bot' };
  const places = { [jid]: [place, moved] };
  const known = { revision: t + 1_100, code: 'ONE' };

  it('carries on where the WhatsApp group was: its link is published again under the new id', () => {
    expect(
      promisesBroken({ places, ...published(first, one, two, adopted(t + 1_600, 'TWO', known, 'renamed')) }),
    ).toEqual([]);
  });

  it('has to be told of under the new id', () => {
    expect(promisesBroken({ places })).toEqual([expect.stringMatching(/^live: the newest/)]);
  });

  it('does not begin anew', () => {
    const anew = adopted(t + 1_600, 'TWO', { revision: t, code: 'ONE' }, 'renamed');
    expect(promisesBroken({ places, ...published(first, one, two, anew) })).toEqual([
      expect.stringMatching(/^ordered/),
    ]);
  });

  it('names what it told of another WhatsApp group before', () => {
    const other = { ...adopted(t + 1_600, 'OTHER', { revision: t + 1_100, code: 'TWO' }), jid: otherJid };
    const history = {
      links: { ...right.links, [otherJid]: [{ code: 'OTHER', from: t - 5_000, by: 'start' } as const] },
      places: { [jid]: [place, { ...place, from: t + 1_500, group: null }], [otherJid]: [place] },
    };
    expect(promisesBroken({ ...history, ...published(first, one, two, other) })).toEqual([]);
    const wrongOne = { ...other, previousRevision: t + 100 };
    expect(promisesBroken({ ...history, ...published(first, one, two, wrongOne) })).toEqual([
      expect.stringMatching(/^ordered/),
    ]);
  });
});

describe('a one-off', () => {
  const refused = { ...job, state: 'failed', failedReason: 'unknown group "vip": it is not in the file', result: null };
  const elsewhere = { ...refused, failedReason: 'group "vip" belongs to instance "bot2": push it there' };
  const places = { [jid]: [place, { ...place, from: t + 950, instance: 'bot2' }] };
  const failure = { ...event(t + 950, 'ONE', null), type: 'rotation.failed', request: { requestId: job.requestId } };
  const told = published(first, one, two, failure);

  it('may be refused if its group was edited', () => {
    expect(promisesBroken({ jobs: [refused, elsewhere], places, ...told })).toEqual([]);
    expect(check({ ...right, jobs: [refused, elsewhere], ...told })[0]?.found).toHaveLength(2);
  });

  it('has to be told of its refusal by an event', () => {
    expect(check({ ...right, jobs: [refused], places })[0]?.found).toEqual([
      `links: no event tells that ${job.requestId} failed`,
    ]);
  });

  it('may be refused if it named what was not in the file, or not there', () => {
    const jobs = [
      { ...refused, name: 'gone' },
      { ...elsewhere, queue: 'rotations-bot2' },
    ];
    expect(promisesBroken({ jobs, ...told })).toEqual([]);
  });

  it('is gone if its queue was emptied after it was asked for', () => {
    const wipe = { kind: 'wipe', from: t + 910, to: t + 950, queue: 'rotations-bot' } as const;
    const jobs = [{ ...job, state: 'unknown', result: null }];
    expect(promisesBroken({ jobs, troubles: [wipe] })).toEqual([]);
    expect(promisesBroken({ jobs, troubles: [{ ...wipe, queue: 'rotations-bot2' }] })).toHaveLength(1);
    expect(promisesBroken({ jobs, troubles: [{ ...wipe, from: t, to: t + 100 }] })).toHaveLength(1);
  });

  it('waits for ever on the queue of an instance that no file has', () => {
    const jobs = [{ ...job, state: 'waiting', result: null }];
    expect(promisesBroken({ jobs, instances: ['bot2'] })).toEqual([]);
    expect(promisesBroken({ jobs })).toHaveLength(1);
  });
});

describe('dead-link time', () => {
  const slow = (ms: number): History => {
    const late = { ...two, receivedAt: t + 1_050 + ms };
    return { ...right, at: t + 60_000, ...published(first, one, late) };
  };

  it('is measured from the change to its receipt, whatever the id', () => {
    const dead = deadLinks(right).map(({ code, from, to, cause }) => [code, to - from, cause]);
    expect(dead).toEqual([
      ['ONE', 60, 'answered'],
      ['TWO', 60, 'answered'],
    ]);
    const renamed = [first, one, { ...two, group: 'renamed', id: `renamed.${t + 1_100}` }];
    expect(deadLinks({ ...right, ...published(...renamed) })[1]).toMatchObject({ over: true, ownMs: 60 });
    expect(deadTimes(right)[0]).toBe('answered: 2, p50 60 ms, p99 60 ms, worst 60 ms (of that ours 60 ms)');
  });

  it('ends with a newer link as well', () => {
    const skipped = event(t + 1_100, 'TWO', { revision: t - 1_000, code: 'OLD' });
    expect(deadLinks({ ...right, ...published(first, skipped) })[0]).toMatchObject({ code: 'ONE', ownMs: 1_060 });
  });

  it('is bounded', () => {
    const bound = 10_000 + 3_000 + 5_000;
    expect(check(slow(bound - 100))).toEqual([]);
    expect(check(slow(bound + 100))).toEqual([expect.objectContaining({ promise: expect.stringMatching(/^bounded/) })]);
    const never = check({ ...right, at: t + 60_000, ...published(first, one) });
    expect(never).toContainEqual({ promise: expect.stringMatching(/^bounded/), found: [expect.any(String)] });
  });

  const excuses: [string, Partial<History>][] = [
    ['Redis was away', { troubles: [{ kind: 'cut', from: t + 1_100, to: t + 9_000 }] }],
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
        troubles: [{ kind: 'kill', from: t + 1_250, to: t + 1_250 }],
      },
    ],
    ['the job of a read was wiped off', { troubles: [wipe('rotations-bot')] }],
    ['no worker was there', { troubles: [{ kind: 'nobody', from: t + 1_200, to: t + 4_000 }] }],
  ];
  it.each(excuses)('is not held against us for the time in which %s, and no longer', (_excuse, over) => {
    const limit = { max: 99, perMs: 1 };
    expect(check({ ...slow(22_000), ...over, limit })).toEqual([]);
    expect(check({ ...slow(45_000), ...over, limit })).toContainEqual(
      expect.objectContaining({ promise: expect.stringMatching(/^bounded/) }),
    );
  });

  it('is held against us though the queue of another instance was wiped off', () => {
    const limit = { max: 99, perMs: 1 };
    expect(check({ ...slow(22_000), troubles: [wipe('rotations-bot2')], limit })).toContainEqual(
      expect.objectContaining({ promise: expect.stringMatching(/^bounded/) }),
    );
  });

  it('is not held against us while the group has no id and another has its last one', () => {
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

  it('is put down to its cause', () => {
    const causeOf = (seen: Partial<SeenRequest>, troubles: History['troubles'], receivedAt = t + 1_110) => {
      const requests = [right.requests[0]!, { ...right.requests[1]!, ...seen }];
      return deadLinks({ ...right, requests, troubles, ...published(first, one, { ...two, receivedAt }) })[1]?.cause;
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

describe('an emptied Redis', () => {
  const flush = { kind: 'flush', from: t + 1_200, to: t + 1_210 } as const;
  const again = adopted(t + 1_500, 'TWO', null);
  const after = { ...right, ...published(first, one, two, again), at: t + 60_000 };

  it('has its groups adopted again, with higher revisions and none before', () => {
    expect(check({ ...after, troubles: [flush] })).toEqual([]);
    expect(check(after)).toContainEqual(expect.objectContaining({ promise: expect.stringMatching(/^ordered/) }));
  });
  it('has forgotten the one-offs of before, and no later ones', () => {
    const job = { ...right.jobs[0]!, state: 'unknown', endedAt: null, result: null };
    expect(check({ ...after, troubles: [flush], jobs: [job] })).toEqual([]);
    expect(check({ ...after, troubles: [flush], jobs: [{ ...job, askedAt: t + 2_000 }] })).not.toEqual([]);
  });
});

it('allows one pause for each group that is refused', () => {
  const pause = { instance: 'bot', reason: 'throttled', from: t + 500, to: t + 60_500 };
  const troubles = [{ kind: 'poison', from: t, to: t + 1_000 }] as const;
  expect(check({ ...right, troubles, pauses: [pause] })).toEqual([]);
  expect(check({ ...right, troubles, pauses: [pause, pause] })).toMatchObject([
    { promise: expect.stringMatching(/^contained/) },
  ]);
});
