import { describe, expect, it } from 'vitest';
import type { Entry, GroupRecord } from '../../src/groups/record.ts';
import { decide } from '../../src/rotation/decide.ts';
import type { OneOff, Step, Work } from '../../src/rotation/types.ts';
import { weekdays } from '../../src/schedule/window.ts';
import { attempt, entry, hourMs, request, scheduled, settled, t, uncertain, verification } from './samples.ts';

const disabled = { entry: { ...entry, enabled: false } };
const obsolete: Step = { do: 'finish', as: 'obsolete' };
const answered: Step = { do: 'finish', as: 'answered' };
const failed = { failed: [{ identity: 'job-1', reason: 'not_admin: must be admin' }] };
const failedOnce: Step = { do: 'finish', as: 'failed' };
type Case = [name: string, over: Partial<GroupRecord>, work: Work, nowMs: number, expected: Step];

const decided = (over: Partial<GroupRecord>, work: Work, nowMs: number) => decide({ ...settled, ...over }, work, nowMs);

describe('a one-off that names a link', () => {
  const replaced: Step = { do: 'finish', as: 'replaced' };
  const named = (code: string, isReplaced = false) => request({ link: { code, isReplaced } });
  it.each<Case>([
    ['replaces the current link', {}, named('OLD'), t, { do: 'reset' }],
    ['replaces it although it seemed replaced when the job was read', {}, named('OLD', true), t, { do: 'reset' }],
    ['needs no reset once the link was replaced', {}, named('OLDER'), t, replaced],
    ['needs none for any link that the group had', { replacedCodes: ['OLDER', 'FIRST'] }, named('FIRST'), t, replaced],
    ['needs none for one that only the history has', {}, named('FIRST', true), t, replaced],
    ['resets where it is not known whether the link is live', {}, named('OTHER'), t, { do: 'reset' }],
    ['needs no reset after the group left the file', { removedAt: t - 1 }, named('OLDER'), t, replaced],
    ['waits for a reset in flight', { attempt: attempt() }, named('OLDER'), t, { do: 'wait', ms: 250, why: 'busy' }],
    ['reads back first after an uncertain reset', { uncertain }, named('OLDER'), t, { do: 'readBack' }],
    ['reads the link first that is returned', { adopt: true }, named('OLDER'), t, { do: 'adopt' }],
    ['resets where there is no link to return', { link: null }, named('OLDER', true), t, { do: 'reset' }],
    ['finds its own answer', { answered: ['job-1'] }, named('OLDER'), t, answered],
    ['is never answered by that very link', { answered: ['job-1'] }, named('OLD'), t, { do: 'reset' }],
    ['finds its own failure, also during a reset', { ...failed, attempt: attempt() }, named('OLDER'), t, failedOnce],
    ['is not failed by the failure of another job', failed, request({ identity: 'job-2' }), t, { do: 'reset' }],
  ])('%s', (_name, over, work, nowMs, expected) => {
    expect(decided(over, work, nowMs)).toEqual(expected);
  });
});

describe('scheduled work', () => {
  it.each<Case>([
    ['resets a group that is due', {}, scheduled, t, { do: 'reset' }],
    ['reads a link that was never published before it resets it', { adopt: true }, scheduled, t, { do: 'adopt' }],
    ['reads a code before it resets', { adopt: true, jid: null, link: null }, scheduled, t, { do: 'adopt' }],
    ['leaves a rotation that was rescheduled', { dueAt: t + 1 }, scheduled, t, obsolete],
    ['leaves a rotation of a group that is no longer scheduled', { dueAt: null }, scheduled, t, obsolete],
    ['leaves a disabled group', disabled, scheduled, t, obsolete],
    ['leaves a group that left the file', { removedAt: t - 1 }, scheduled, t, obsolete],
    ['leaves a duplicate', { duplicateOf: 'other' }, scheduled, t, obsolete],
    ['waits while another attempt runs', { attempt: attempt() }, scheduled, t, { do: 'wait', ms: 250, why: 'busy' }],
    ['reads back after an uncertain reset', { uncertain }, scheduled, t, { do: 'readBack' }],
    [
      'paces its read-backs',
      { uncertain: { ...uncertain, readAt: t + 2_000 } },
      scheduled,
      t,
      { do: 'wait', ms: 2_000, why: 'settling' },
    ],
    ['resets where no link was ever shown', { link: null }, scheduled, t, { do: 'reset' }],
  ])('%s', (_name, over, work, nowMs, expected) => {
    expect(decided(over, work, nowMs)).toEqual(expected);
  });

  describe('in a window', () => {
    // It is nine o'clock.
    const window = (fromHour: number, toHour: number): Entry => ({
      ...entry,
      schedule: {
        ...entry.schedule,
        window: { fromMinute: fromHour * 60, toMinute: toHour * 60, days: [...weekdays] },
      },
    });
    it.each<Case>([
      ['resets while it is open', { entry: window(8, 10) }, scheduled, t, { do: 'reset' }],
      ['does nothing once it has closed', { entry: window(6, 9) }, scheduled, t, obsolete],
      ['does nothing a minute after it closed', { entry: window(8, 10) }, scheduled, t + hourMs, obsolete],
      ['reads no new link once it has closed', { entry: window(6, 9), adopt: true }, scheduled, t, obsolete],
      ['reads back nevertheless', { entry: window(6, 9), uncertain }, scheduled, t, { do: 'readBack' }],
      ['serves a one-off at any time', { entry: window(6, 9) }, request(), t, { do: 'reset' }],
      ['verifies at any time', { entry: window(6, 9) }, verification, t, { do: 'verify' }],
    ])('%s', (_name, over, work, nowMs, expected) => {
      expect(decided(over, work, nowMs)).toEqual(expected);
    });
  });
});

describe('a one-off', () => {
  const stamped = (requestedAt: number) => request({ requestedAt });
  const covering = (lastJob: number, queue = 'rotations-bot') => ({ resetCovers: { queue, lastJob } });
  const pushed = (number: number, over: Partial<NonNullable<OneOff['position']>> = {}) =>
    request({
      position: { queue: 'rotations-bot', number, newest: 9, count: 'c1', pushedAt: t - hourMs - 1_000, ...over },
    });
  it.each<Case>([
    ['resets where nothing answers it', { resetBegunAt: t - 1_000 }, request(), t, { do: 'reset' }],
    [
      'waits for those that come together with it, right after a reset',
      { resetBegunAt: t - 400 },
      request(),
      t,
      { do: 'wait', ms: 600, why: 'burst' },
    ],
    ['is answered by a reset that began after it was pushed', covering(7), pushed(7), t, answered],
    [
      'is answered where it was on the queue before a reset began, whatever its id is',
      { resetCovers: { queue: 'rotations-bot', lastJob: 7, others: ['job-1'] } },
      request(),
      t,
      answered,
    ],
    ['is not answered while no link is known', { ...covering(7), link: null }, pushed(7), t, { do: 'reset' }],
    ['is not answered where it was pushed later', covering(7), pushed(8), t, { do: 'reset' }],
    [
      'is answered where the count is the same, whatever its producer takes for the time',
      { resetCovers: { queue: 'rotations-bot', lastJob: 7, count: 'c1' } },
      pushed(7, { pushedAt: t + 24 * hourMs }),
      t,
      answered,
    ],
    [
      'is not answered where its queue has another count, whatever the numbers',
      { resetCovers: { queue: 'rotations-bot', lastJob: 7, count: 'c0' } },
      pushed(7),
      t,
      { do: 'reset' },
    ],
    ['is not answered by what was noted of another queue', covering(7, 'other'), pushed(7), t, { do: 'reset' }],
    ['is not answered where its queue counts from 1 again', covering(7), pushed(3, { newest: 5 }), t, { do: 'reset' }],
    [
      'is not answered where its queue has counted past that again',
      covering(7),
      pushed(3, { newest: 9, count: 'c1', pushedAt: t - hourMs + 60_000 }),
      t,
      { do: 'reset' },
    ],
    ['resets where it was made after the last reset began', {}, stamped(t - hourMs - 299), t, { do: 'reset' }],
    ['is answered where it was made before the last reset began', {}, stamped(t - hourMs - 300), t, answered],
    [
      'is answered by a later attempt than it has seen, whatever the clock says',
      { resetBegunAt: t - hourMs, resetCovers: { queue: 'rotations-bot', lastJob: 0, attempt: 8 } },
      request({ attemptsSeen: 7, requestedAt: t }),
      t,
      answered,
    ],
    [
      'is not answered by an attempt that it has seen, whatever the clock says',
      { resetBegunAt: t + hourMs, resetCovers: { queue: 'rotations-bot', lastJob: 0, attempt: 8 } },
      request({ attemptsSeen: 8, requestedAt: t }),
      t,
      { do: 'reset' },
    ],
    [
      'is not answered where its stamp is older only because the clock was set back since the reset',
      { resetBegunAt: t + hourMs },
      stamped(t),
      t,
      { do: 'reset' },
    ],
    ['waits for no burst from before the clock was set back', { resetBegunAt: t + 1 }, request(), t, { do: 'reset' }],
    ['is answered where its job was answered before', { answered: ['job-1'] }, request(), t, answered],
    ['is not answered with a link that we never made', { resetBegunAt: null }, stamped(1), t, { do: 'reset' }],
    ['is not answered with no link', { revision: null }, stamped(1), t, { do: 'reset' }],
    ['waits while another attempt runs', { attempt: attempt() }, stamped(1), t, { do: 'wait', ms: 250, why: 'busy' }],
    [
      'waits for no longer than the lease',
      { attempt: attempt({ leaseUntil: t + 20 }) },
      request(),
      t,
      { do: 'wait', ms: 20, why: 'busy' },
    ],
    ['reads back before it is answered', { uncertain }, stamped(1), t, { do: 'readBack' }],
    ['reads the link of a group that is new before it resets it', { adopt: true }, request(), t, { do: 'adopt' }],
    [
      'waits until a reset that Redis has forgotten is over',
      { resetsFrom: t + 700 },
      request(),
      t,
      { do: 'wait', ms: 700, why: 'settling' },
    ],
    ['resets once such a reset is over', { resetsFrom: t }, request(), t, { do: 'reset' }],
    ['reads the link at once meanwhile', { adopt: true, resetsFrom: t + 700 }, request(), t, { do: 'adopt' }],
    ['serves a disabled group', disabled, request(), t, { do: 'reset' }],
    ['ends at a duplicate', { duplicateOf: 'other' }, request(), t, { do: 'finish', as: 'duplicate' }],
    ['ends at a group that no file has', { removedAt: t - 1 }, request(), t, { do: 'finish', as: 'unregistered' }],
    ['is answered though its group left the file meanwhile', { removedAt: t - 1 }, stamped(1), t, answered],
    ['is not obsolete while a call is uncertain', { uncertain, removedAt: t - 1 }, request(), t, { do: 'readBack' }],
  ])('%s', (_name, over, work, nowMs, expected) => {
    expect(decided(over, work, nowMs)).toEqual(expected);
  });
});

describe('a verification', () => {
  const owed = { verificationOwedAt: t };
  const later = { verificationOwedAt: t + 1 };
  it.each<Case>([
    ['reads a group at rest', {}, verification, t, { do: 'verify' }],
    ['publishes a link at the first read', { adopt: true }, verification, t, { do: 'adopt' }],
    ['reads back where a call is uncertain', { uncertain }, verification, t, { do: 'readBack' }],
    ['reads back a disabled group', { uncertain, ...disabled }, verification, t, { do: 'readBack' }],
    ['reads back a group that left the file', { uncertain, removedAt: t }, verification, t, { do: 'readBack' }],
    ['pays what a disabled group owes', { ...owed, ...disabled }, verification, t, { do: 'verify' }],
    ['pays what a group owes that left the file', { ...owed, removedAt: t }, verification, t, { do: 'verify' }],
    ['pays nothing before it is owed', { ...later, ...disabled }, verification, t, obsolete],
    ['reads no disabled group for nothing', disabled, verification, t, obsolete],
    ['reads no group that left the file', { removedAt: t, adopt: true }, verification, t, obsolete],
    ['reads no duplicate', { duplicateOf: 'other' }, verification, t, obsolete],
  ])('%s', (_name, over, work, nowMs, expected) => {
    expect(decided(over, work, nowMs)).toEqual(expected);
  });
});
