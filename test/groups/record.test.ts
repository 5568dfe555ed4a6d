import { describe, expect, it } from 'vitest';
import { indexTimes } from '../../src/groups/plannerIndexes.ts';
import { type GroupRecord, newRecord, nextDueAt, settleAt, verifyAt } from '../../src/groups/record.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { phaseOf } from '../../src/schedule/schedule.ts';
import { attempt, entry, hourMs, settled, t, uncertain, unread } from '../rotation/samples.ts';

const dayMs = 24 * hourMs;
/** A new link is verified between a twelfth of a day and a day later, always at the same phase for one group. */
const phaseMs = Math.floor(dayMs * (1 / 12 + (11 / 12) * phaseOf(settled.jid!)));
const disabled = { entry: { ...entry, enabled: false } };
type Case = [name: string, over: Partial<GroupRecord>, expected: number | null];
const gone: Case[] = [
  ['never if it is disabled', disabled, null],
  ['never if it left the file', { removedAt: t }, null],
  ['never if it is a duplicate', { duplicateOf: 'other' }, null],
];

describe('a group is next due', () => {
  it.each<Case>([
    ['when its rotation is due', {}, t],
    ['when its first read is due, if that is sooner', { readDueAt: t - 5 }, t - 5],
    ['when its rotation is due, if that is sooner', { readDueAt: t + 5 }, t],
    ['when its first read is due, if nothing is scheduled', { dueAt: null, readDueAt: t + 5 }, t + 5],
    ['never if nothing is due', { dueAt: null }, null],
    ...gone,
  ])('%s', (_name, over, expected) => {
    expect(nextDueAt({ ...settled, ...over })).toBe(expected);
  });
});

describe('a link is verified', () => {
  it.each<Case>([
    ['one period after it was last read', { verifiedAt: t - 7 }, t - 7 + dayMs],
    [
      'at its phase of the period after a newer link was stored',
      { verifiedAt: t - 7, rotatedAt: t - 3 },
      t - 3 + phaseMs,
    ],
    ['at its phase after its first read', { verifiedAt: t, rotatedAt: t }, t + phaseMs],
    ['by the period in force', { verifiedAt: t, entry: { ...entry, verifyEveryMs: 60_000 } }, t + 60_000],
    ['at once if it was never read', { verifiedAt: null, rotatedAt: null }, phaseMs],
    ['even if no link was ever read', { link: null, revision: null, rotatedAt: null, verifiedAt: t }, t + dayMs],
    ['never if verification is off', { entry: { ...entry, verifyEveryMs: null } }, null],
    ['never before its first read', { adopt: true }, null],
    ['never while its JID is unknown', { jid: null }, null],
    ...gone,
  ])('%s', (_name, over, expected) => {
    expect(verifyAt({ ...settled, ...over })).toBe(expected);
  });
});

describe('an unsettled group is settled', () => {
  it.each<Case>([
    ['never if nothing is unsettled', {}, null],
    ['when the lease of its attempt has expired', { attempt: attempt(), uncertain }, t + 10_000],
    ['soon after its job should have read it back', { uncertain, verificationOwedAt: t + 90_000 }, t + 3_000],
    ['when a read is owed', { verificationOwedAt: t + 90_000 }, t + 90_000],
  ])('%s', (_name, over, expected) => {
    expect(settleAt({ ...settled, ...over })).toBe(expected);
    for (const [, state] of gone) expect(settleAt({ ...settled, ...over, ...state })).toBe(expected);
  });
});

it('has times in the indexes of its instance, and one in the index of unsettled groups', () => {
  const keys = makeKeys('p');
  const record = { ...settled, attempt: attempt(), entry: { ...entry, instance: 'bot2' } };
  expect([...indexTimes(record, keys)]).toEqual([
    [keys.due('bot2'), t],
    [keys.verifications('bot2'), settled.verifiedAt! + phaseMs],
    [keys.unsettled, t + 10_000],
  ]);
  expect([...indexTimes(unread, keys)]).toEqual([[keys.due(unread.entry!.instance), t]]);
  expect([...indexTimes(newRecord, keys)]).toEqual([]);
});

it('verifies groups that were read together evenly over the period', () => {
  const times = Array.from({ length: 600 }, (_, i) => {
    return (verifyAt({ ...settled, jid: `120363${i}@g.us`, verifiedAt: t, rotatedAt: t }) ?? 0) - t;
  });
  // In each of the last eleven hours of a period of twelve: a tenth of them or so.
  for (let hour = 1; hour < 12; hour++) {
    const due = times.filter((ms) => ms >= (hour * dayMs) / 12 && ms < ((hour + 1) * dayMs) / 12).length;
    expect(due).toBeGreaterThan(25);
    expect(due).toBeLessThan(85);
  }
  expect(Math.min(...times)).toBeGreaterThanOrEqual(dayMs / 12);
  expect(Math.max(...times)).toBeLessThanOrEqual(dayMs);
});
