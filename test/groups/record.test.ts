import { describe, expect, it } from 'vitest';
import { indexTimes } from '../../src/groups/plannerIndexes.ts';
import { type GroupRecord, newRecord, nextDueAt, settleAt, verifyAt } from '../../src/groups/record.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { attempt, entry, hourMs, settled, t, uncertain, unread } from '../rotation/samples.ts';

const dayMs = 24 * hourMs;
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
    ['one period after it was stored, if that is later', { verifiedAt: t - 7, rotatedAt: t - 3 }, t - 3 + dayMs],
    ['by the period in force', { verifiedAt: t, entry: { ...entry, verifyEveryMs: 60_000 } }, t + 60_000],
    ['at once if it was never read', { verifiedAt: null, rotatedAt: null }, dayMs],
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
    [keys.verifications('bot2'), settled.verifiedAt! + dayMs],
    [keys.unsettled, t + 10_000],
  ]);
  expect([...indexTimes(unread, keys)]).toEqual([[keys.due(unread.entry!.instance), t]]);
  expect([...indexTimes(newRecord, keys)]).toEqual([]);
});
