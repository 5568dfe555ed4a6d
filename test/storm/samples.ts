/** A correct history of one group, and what the tests of the checker build others from. */
import { check } from './checker.ts';
import type { History, SeenEvent, SeenRequest } from './history.ts';

export const t = 1_763_802_000_000;
export const jid = '120363406289005073@g.us';
export const otherJid = '120363406289005074@g.us';

interface Before {
  readonly revision: number;
  readonly code: string;
}

export function event(revision: number, code: string, before: Before | null, group = 'vip'): SeenEvent {
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
export function adopted(revision: number, code: string, before: Before | null, group = 'vip'): SeenEvent {
  return { ...event(revision, code, before, group), type: 'link.changed', reason: 'adopted' };
}
export function request(endpoint: string, begin: number): SeenRequest {
  const answer = { end: begin + 100, status: 200, countedAt: begin, effect: null, fault: null };
  return { endpoint, token: 'the-token', jid, begin, ...answer };
}
export function reset(begin: number, code: string): SeenRequest {
  return { ...request('reset', begin), effect: { at: begin + 50, code } };
}
/** Consumers of one queue, to which these events were added in this order. */
export function published(...events: SeenEvent[]): Pick<History, 'events' | 'added'> {
  const added = events.map(({ id, receivedAt }) => ({ id, at: receivedAt - 5 }));
  return { events: { links: events }, added: { links: added } };
}
export const place = { from: t - 5_000, group: 'vip', instance: 'bot' };
export const first = adopted(t - 1_000, 'OLD', null);
export const one = event(t + 100, 'ONE', { revision: t - 1_000, code: 'OLD' });
export const two = event(t + 1_100, 'TWO', { revision: t + 100, code: 'ONE' });
export const wipe = (queue: string) => ({ kind: 'wipe', from: t + 1_200, to: t + 1_210, queue }) as const;
export const right: History = {
  at: t + 2_000,
  requests: [reset(t, 'ONE'), reset(t + 1_000, 'TWO')],
  ...published(first, one, two),
  jobs: [
    {
      requestId: 'r1',
      name: 'vip',
      queue: 'rotations-bot',
      requestedAt: t + 900,
      endedAt: t + 1_100,
      state: 'completed',
      failedReason: null,
      retries: 0,
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
  incidents: [],
  pauses: [],
  verify: true,
  limit: { max: 2, perMs: 2_000 },
  settleMs: 3_000,
  leaseMs: 10_000,
  output: '{"msg":"vip: new link"}',
  secrets: ['TWO', 'the-token'],
  quiet: true,
};
export const links = right.links[jid]!;
export const job = right.jobs[0]!;

export function promisesBroken(over: Partial<History>): string[] {
  return check({ ...right, ...over }).map(({ promise }) => promise);
}
