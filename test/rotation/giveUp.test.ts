import { describe, expect, it } from 'vitest';
import { newRecord, settleAt } from '../../src/groups/record.ts';
import { unknown } from '../support/outcomes.ts';
import {
  attempt,
  end,
  entry,
  giveUp,
  hourMs,
  info,
  request,
  scheduled,
  settled,
  t,
  unread,
  verification,
} from './samples.ts';

const error = { code: 'not_admin', message: 'must be admin', httpStatus: 403 } as const;

describe('giving up', () => {
  it('reports the last known link, and tries again after a doubling time within the period', () => {
    const first = giveUp(settled, scheduled, error);
    expect(first.record.dueAt).toBe(t + 300_000);
    expect(first.events).toMatchObject([
      {
        type: 'rotation.failed',
        id: `vip.${settled.revision}.failed.1`,
        inviteCode: 'OLD',
        linkUncertain: false,
        error,
        nextAttemptAt: new Date(t + 300_000).toISOString(),
      },
    ]);
    const second = giveUp(first.record, scheduled, error);
    expect(second.record.dueAt).toBe(t + 600_000);
    expect(second.events).toMatchObject([{ id: `vip.${settled.revision}.failed.2` }]);
    const tenth = giveUp({ ...settled, failure: { ...second.record.failure!, count: 9 } }, scheduled, error);
    expect(tenth.record.dueAt).toBe(t + hourMs);
  });
  it('does not move the schedule when a one-off failed', () => {
    const { record, events } = giveUp({ ...settled, dueAt: t + 50 }, request(), error);
    expect(record.dueAt).toBe(t + 50);
    expect(events).toMatchObject([{ reason: 'request', request: info }]);
  });
  it('brings the next rotation forward when a one-off leaves a link that may be dead', () => {
    const open = end({ ...settled, dueAt: t + hourMs }, attempt(), unknown(false), t).record;
    const { record, events } = giveUp(open, request(), error);
    expect(record.dueAt).toBe(t + 300_000);
    expect(events).toMatchObject([{ linkUncertain: true }]);
  });
  it('reports a group that never had a link', () => {
    const { events } = giveUp({ ...newRecord, entry, dueAt: t }, scheduled, error);
    expect(events).toMatchObject([
      { id: 'vip.0.failed.1', jid: null, inviteCode: null, revision: null, rotatedAt: null },
    ]);
  });
  it('on the first read reports it, and reads again after the same delays, whatever is scheduled', () => {
    const { record, events } = giveUp({ ...unread, dueAt: t + hourMs }, verification, error);
    expect(record).toMatchObject({ adopt: true, readDueAt: t + 300_000, dueAt: t + hourMs });
    expect(events).toMatchObject([{ reason: 'adopted', nextAttemptAt: new Date(t + 300_000).toISOString() }]);
    expect(giveUp(record, verification, error).record.readDueAt).toBe(t + 600_000);
  });
  it('before a first rotation also postpones the first read', () => {
    expect(giveUp(unread, scheduled, error).record).toMatchObject({ dueAt: t + 300_000, readDueAt: t + 300_000 });
  });
  it('on the first read after Redis was emptied, leaves nothing to be settled before the next try', () => {
    const lost = { ...unread, verificationOwedAt: t - 1 };
    for (const work of [verification, scheduled]) {
      expect(settleAt(giveUp(lost, work, error).record)).toBe(t + 300_000);
    }
    expect(settleAt(giveUp({ ...unread, verificationOwedAt: t + hourMs }, verification, error).record)).toBe(
      t + hourMs,
    );
    expect(settleAt(giveUp(lost, request(), error).record)).toBe(t - 1);
  });
  it('reports the failure of a one-off once, and that of the next one', () => {
    const first = giveUp(settled, request(), error);
    expect(first.events).toHaveLength(1);
    expect(giveUp(first.record, request(), error)).toEqual({ ...first, events: [] });
    const next = giveUp(first.record, request({ identity: 'job-2' }), error);
    expect(next.events.map(({ id }) => id)).not.toContain(first.events[0]?.id);
    expect(next.record.failed.map(({ identity }) => identity)).toEqual(['job-2', 'job-1']);
  });
  it('publishes nothing for a WhatsApp group whose id names another one', () => {
    const { record, events } = giveUp({ ...settled, removedAt: t, replaced: true }, scheduled, error);
    expect(events).toEqual([]);
    expect(record.failure).toMatchObject({ code: 'not_admin', count: 1 });
  });
});
