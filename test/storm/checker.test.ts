/** The checker of the storm against correct histories, and against histories with one violation each. */
import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import type { History } from './history.ts';
import {
  adopted,
  event,
  first,
  jid,
  job,
  links,
  one,
  otherJid,
  place,
  promisesBroken,
  published,
  request,
  reset,
  right,
  t,
  two,
} from './samples.ts';

it('finds no violation in a correct history, even with repeated events', () => {
  expect(check(right)).toEqual([]);
  expect(check({ ...right, events: { links: [first, one, two, first, one] } })).toEqual([]);
});

it('accepts that a link reset by hand is mistaken for the effect of a call without an answer', () => {
  const byHand = { code: 'HAND', from: t + 600, by: 'human' } as const;
  const unpublished = { code: 'LOST', from: t + 900, by: 'us' } as const;
  const made = { [jid]: [links[0]!, links[1]!, byHand, unpublished, links[2]!] };
  const hand = { ...event(t + 800, 'HAND', { revision: t + 100, code: 'ONE' }), reason: 'recovery' };
  const last = event(t + 1_100, 'TWO', { revision: t + 800, code: 'HAND' });
  expect(promisesBroken({ ...published(first, one, hand, last), links: made })).toEqual([]);
  const drift = { ...hand, reason: 'drift' };
  expect(promisesBroken({ ...published(first, one, drift, last), links: made })).toHaveLength(1);
});

const later = { code: 'NEW', from: t + 1_060, by: 'us' } as const;
const wrong: [string, Partial<History>, RegExp][] = [
  [
    'a consumer that holds a dead link',
    { links: { [jid]: [...links, { ...later, by: 'human' }] } },
    /^live: the newest/,
  ],
  ['an event that was not delivered', { events: { links: [first, one] } }, /^live: the newest/],
  [
    'a link published after we had replaced it',
    { links: { [jid]: [...links, { ...later, from: t + 1_000 }] } },
    /^live: no/,
  ],
  ['a link that its group never had', published(first, one, two, { ...two, jid: otherJid }), /^live: no/],
  ['an event out of order', { added: { links: [first, two, one].map(({ id }) => ({ id, at: t })) } }, /^ordered/],
  [
    'an event that names the wrong previous one',
    published(first, one, event(t + 1_100, 'TWO', { revision: t, code: 'ZERO' })),
    /^ordered/,
  ],
  ['a group that is no longer rotated', { calmAt: t + 1_200 }, /^in force/],
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
  ['a one-off answered with an older link', { jobs: [{ ...job, requestedAt: t + 2_000 }] }, /^answered/],
  [
    'a failure that no event reports',
    { jobs: [{ ...job, state: 'failed', failedReason: 'timeout: no answer', result: null }] },
    /^answered/,
  ],
  [
    'a reset that replaces a link that was never published',
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

it('requires that every group rotates once the file is in force', () => {
  expect(promisesBroken({ calmAt: t + 1_000 })).toEqual([]);
  expect(promisesBroken({ calmAt: t + 1_000, places: { [jid]: [{ ...place, group: 'renamed' }] } })).toContainEqual(
    expect.stringMatching(/^in force/),
  );
});

it('accepts that a read from a cache hides a link', () => {
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

it('accepts that an answer repeats the link that a person made', () => {
  const byHand = { code: 'HAND', from: t + 400, by: 'human' } as const;
  const unpublished = { code: 'UNPUBLISHED', from: t + 650, by: 'us' } as const;
  const made = { [jid]: [links[0]!, links[1]!, byHand, unpublished, links[2]!] };
  const hand = event(t + 700, 'HAND', { revision: t + 100, code: 'ONE' });
  const last = event(t + 1_100, 'TWO', { revision: t + 700, code: 'HAND' });
  const frugalWith = (fault: string | null) => {
    const requests = [...right.requests, { ...reset(t + 600, 'UNPUBLISHED'), fault }];
    const over = { links: made, requests, limit: { max: 3, perMs: 2_000 }, ...published(first, one, hand, last) };
    return promisesBroken(over).some((promise) => promise.startsWith('frugal'));
  };
  expect([frugalWith('repeat'), frugalWith(null)]).toEqual([false, true]);
});

it('checks the limit of each token separately', () => {
  const twoTokens = right.requests.map((seen, i) => ({ ...seen, token: `token ${i}` }));
  expect(promisesBroken({ requests: twoTokens, limit: { max: 1, perMs: 2_000 } })).toEqual([]);
});

describe('without verification, people', () => {
  const byHand = { code: 'HAND', from: t + 1_500, by: 'human' } as const;

  it('may leave consumers with a dead link', () => {
    const made = { [jid]: [...links, byHand] };
    expect(promisesBroken({ links: made, verify: false })).toEqual([]);
    expect(promisesBroken({ links: made, verify: true })).toHaveLength(1);
  });

  it('excuse nothing once we have reset the link again', () => {
    const made = { [jid]: [...links, byHand, { code: 'OURS', from: t + 1_600, by: 'us' } as const] };
    expect(promisesBroken({ links: made, verify: false })).toContainEqual(expect.stringMatching(/^live: the newest/));
  });
});

describe('an id that changes', () => {
  const moved = { from: t + 1_500, group: 'renamed', instance: 'bot' };
  const places = { [jid]: [place, moved] };
  const known = { revision: t + 1_100, code: 'ONE' };

  it('publishes the link of its WhatsApp group again', () => {
    expect(
      promisesBroken({ places, ...published(first, one, two, adopted(t + 1_600, 'TWO', known, 'renamed')) }),
    ).toEqual([]);
  });

  it('requires an event under the new id', () => {
    expect(promisesBroken({ places })).toEqual([expect.stringMatching(/^live: the newest/)]);
  });

  it('continues the revisions of its WhatsApp group', () => {
    const restarted = adopted(t + 1_600, 'TWO', { revision: t, code: 'ONE' }, 'renamed');
    expect(promisesBroken({ places, ...published(first, one, two, restarted) })).toEqual([
      expect.stringMatching(/^ordered/),
    ]);
  });

  it('names the revision of the WhatsApp group that had it before', () => {
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

describe('an emptied Redis', () => {
  const flush = { kind: 'flush', from: t + 1_200, to: t + 1_210 } as const;
  const again = adopted(t + 1_500, 'TWO', null);
  const after = { ...right, ...published(first, one, two, again), at: t + 60_000 };

  it('has its groups adopted again, with higher revisions and no previous one', () => {
    expect(check({ ...after, incidents: [flush] })).toEqual([]);
    expect(check(after)).toContainEqual(expect.objectContaining({ promise: expect.stringMatching(/^ordered/) }));
  });
  it('loses earlier one-offs and no later ones', () => {
    const job = { ...right.jobs[0]!, state: 'unknown', endedAt: null, result: null };
    expect(check({ ...after, incidents: [flush], jobs: [job] })).toEqual([]);
    expect(check({ ...after, incidents: [flush], jobs: [{ ...job, requestedAt: t + 2_000 }] })).not.toEqual([]);
  });
});

it('allows one pause for each group that is always refused', () => {
  const pause = { instance: 'bot', reason: 'throttled', from: t + 500, to: t + 60_500 };
  const incidents = [{ kind: 'poison', from: t, to: t + 1_000 }] as const;
  expect(check({ ...right, incidents, pauses: [pause] })).toEqual([]);
  expect(check({ ...right, incidents, pauses: [pause, pause] })).toMatchObject([
    { promise: expect.stringMatching(/^contained/) },
  ]);
});
