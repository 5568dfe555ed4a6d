/** The storm's checker against histories that are right, and wrong in one thing each. */
import { describe, expect, it } from 'vitest';
import { check } from '../../bench/storm/checker.ts';
import type { History, SeenEvent, SeenRequest } from '../../bench/storm/history.ts';

const t = 1_763_802_000_000;
const jid = '120363406289005073@g.us';

function event(revision: number, code: string, before: { revision: number; code: string } | null): SeenEvent {
  return {
    id: `vip.${revision}`,
    type: 'link.rotated',
    group: 'vip',
    jid,
    inviteCode: code,
    previousInviteCode: before?.code ?? null,
    revision,
    previousRevision: before?.revision ?? null,
    reason: 'request',
    request: null,
    rotatedAt: new Date(revision).toISOString(),
  };
}
function reset(begin: number, code: string): SeenRequest {
  const effect = { at: begin + 50, code };
  return { endpoint: 'reset', jid, begin, end: begin + 100, status: 200, countedAt: begin, effect, fault: null };
}
const events = [event(t + 100, 'ONE', null), event(t + 1_100, 'TWO', { revision: t + 100, code: 'ONE' })];
const right: History = {
  requests: [reset(t, 'ONE'), reset(t + 1_000, 'TWO')],
  events: { links: events },
  added: { links: events.map(({ id }) => id) },
  jobs: [
    {
      requestId: 'r1',
      jid,
      askedAt: t + 900,
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
  groups: { [jid]: 'vip' },
  limit: { max: 2, perMs: 2_000 },
  settleMs: 3_000,
  output: '{"msg":"vip: new link"}',
  secrets: ['TWO', 'the-token'],
  quiet: true,
};
const links = right.links[jid]!;
const [job] = right.jobs;

it('finds nothing in a history that is right, repeats included', () => {
  expect(check(right)).toEqual([]);
  expect(check({ ...right, events: { links: [...events, events[0]!, events[1]!] } })).toEqual([]);
});

it('knows that a link reset by hand may be taken for that of a call without an answer', () => {
  const byHand = { code: 'HAND', from: t + 600, by: 'human' } as const;
  const untold = { code: 'LOST', from: t + 900, by: 'us' } as const;
  const made = [links[0]!, links[1]!, byHand, untold, links[2]!];
  const hand = { ...event(t + 800, 'HAND', { revision: t + 100, code: 'ONE' }), reason: 'recovery' };
  const told = [events[0]!, hand, event(t + 1_100, 'TWO', { revision: t + 800, code: 'HAND' })];
  const history = { ...right, events: { links: told }, added: { links: told.map(({ id }) => id) } };
  expect(check({ ...history, links: { [jid]: made } })).toEqual([]);
  const drifted = [told[0]!, { ...hand, reason: 'drift' }, told[2]!];
  expect(check({ ...history, events: { links: drifted }, links: { [jid]: made } })).toHaveLength(1);
});

const later = { code: 'NEW', from: t + 1_060, by: 'us' } as const;
const wrong: [string, Partial<History>, RegExp][] = [
  ['a dead link that is held', { links: { [jid]: [...links, { ...later, by: 'human' }] } }, /^live: the newest/],
  ['an event that was not delivered', { events: { links: [events[0]!] } }, /^live: the newest/],
  [
    'a link told of after we had replaced it',
    { links: { [jid]: [...links, { ...later, from: t + 1_000 }] } },
    /^live: no/,
  ],
  ['an event out of order', { added: { links: [events[1]!.id, events[0]!.id] } }, /^ordered/],
  [
    'an event that names a wrong one before it',
    { events: { links: [events[0]!, event(t + 1_100, 'TWO', { revision: t, code: 'ZERO' })] } },
    /^ordered/,
  ],
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
  ['a one-off that vanished', { jobs: [{ ...job!, state: 'gone' }] }, /^answered/],
  ['a one-off answered with an older link', { jobs: [{ ...job!, askedAt: t + 2_000 }] }, /^answered/],
  [
    'a failure that no event tells of',
    { jobs: [{ ...job!, state: 'failed', failedReason: 'timeout: no answer', result: null }] },
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
    const findings = check({ ...right, ...over });
    expect(findings.map((finding) => finding.promise)).toContainEqual(expect.stringMatching(promise));
  });
});
