import { describe, expect, it } from 'vitest';
import { type GroupRecord, newRecord, nextDueAt, settleAt, verifyAt } from '../../src/groups/record.ts';
import { indexTimes } from '../../src/groups/store.ts';
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

describe('a group is looked at', () => {
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
    ['a period after it was last seen', { verifiedAt: t - 7 }, t - 7 + dayMs],
    ['a period after it was made, if that was later', { verifiedAt: t - 7, rotatedAt: t - 3 }, t - 3 + dayMs],
    ['by the period in force', { verifiedAt: t, entry: { ...entry, verifyEveryMs: 60_000 } }, t + 60_000],
    ['at once if it was never seen', { verifiedAt: null, rotatedAt: null }, dayMs],
    ['though none was ever shown', { link: null, revision: null, rotatedAt: null, verifiedAt: t }, t + dayMs],
    ['never if verification is off', { entry: { ...entry, verifyEveryMs: null } }, null],
    ['never before its first read', { adopt: true }, null],
    ['never while its JID is not known', { jid: null }, null],
    ...gone,
  ])('%s', (_name, over, expected) => {
    expect(verifyAt({ ...settled, ...over })).toBe(expected);
  });
});

describe('what is unsettled is looked at', () => {
  it.each<Case>([
    ['never if nothing is', {}, null],
    ['when the lease of an attempt has run out', { attempt: attempt(), uncertain }, t + 10_000],
    ['soon after its job should have read it back', { uncertain, verificationOwedAt: t + 90_000 }, t + 3_000],
    ['when a read is owed', { verificationOwedAt: t + 90_000 }, t + 90_000],
  ])('%s', (_name, over, expected) => {
    expect(settleAt({ ...settled, ...over })).toBe(expected);
    for (const [, state] of gone) expect(settleAt({ ...settled, ...over, ...state })).toBe(expected);
  });
});

it('puts a group into the indexes of its instance, and what is unsettled into one for all', () => {
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
