import { describe, expect, it } from 'vitest';
import type { GroupConfig, InstanceConfig } from '../../src/config/config.ts';
import { remarksOf, scheduleRemarks } from '../../src/config/remarks.ts';
import { cronProblem } from '../../src/schedule/cron.ts';
import { cronRemarks } from '../../src/schedule/cronRemarks.ts';
import { type Window, weekdays } from '../../src/schedule/window.ts';

const nowMs = Date.parse('2026-01-05T12:00:00Z'); // a Monday
const window = (from: number, to: number, days: Window['days'] = weekdays): Window => ({
  ...{ fromMinute: from * 60, toMinute: to * 60, days },
});
const every = (hours: number, open: Window | null = null, timezone = 'UTC') =>
  ({ kind: 'every', everyMs: hours * 3_600_000, window: open, timezone }) as const;
const cron = (text: string, open: Window | null = null, timezone = 'UTC') =>
  ({ kind: 'cron', cron: text, window: open, timezone }) as const;

describe('a cron expression', () => {
  it.each([
    ['0 9 1-7 * MON', ['on the days 1-7 of the month and on the weekdays MON as well']],
    ['0 9 */2 * MON', ['on the days */2 of the month and on the weekdays MON', '*/2 in the day means 1, 3, 5, …, 31']],
    [
      '*/45 * * * *',
      ['*/45 in the minute means 0, 45 of each hour, and begins again with the next one; use "every: 45m"'],
    ],
    ['*/90 * * * *', ['*/90 in the minute means 0 of each hour']],
    ['*/7 9-17 * * *', ['*/7 in the minute means 0, 7, 14, …, 56 of each hour']],
    ['0 */7 * * *', ['*/7 in the hour means 0, 7, 14, 21 of each day']],
    ['0 9 */7 * *', ['*/7 in the day means 1, 8, 15, 22, 29 of each month']],
    ['0 9 1 */5 *', ['*/5 in the month means 1, 6, 11 of each year']],
    ['0 9 * * */2', ['*/2 in the weekday means 0, 2, 4, 6 of each week']],
    ['0 9 31 * *', ['is left out in months without a day 31']],
    ['0 9 29 2 *', ['is due once in 4 years on average']],
    ['* * * * *', ['is due every minute']],
    [
      '* 9 * * *',
      ['* in the minute means 60 rotations in each hour that the other fields name; use "0 9 * * *" for one'],
    ],
    ['*/1 9,18 * * MON', ['use "0 9,18 * * MON" for one']],
    ['0-59 * 1 * *', ['use "0 * 1 * *" for one']],
  ])('%s is remarked on', (text, expected) => {
    expect(cronProblem(text)).toBe(null);
    expect(cronRemarks(text)).toEqual(expected.map((part) => expect.stringContaining(part)));
  });

  it.each([
    '0 9 * * MON',
    '0 9 1-7 * *',
    '0 9 1 * ?',
    '*/15 * * * *',
    '*/45 9 * * *',
    '0 */6 * * *',
    '0 9 28 * *',
    '0 9 */1 * *',
  ])('%s is not', (text) => expect(cronRemarks(text)).toEqual([]));

  it('of a day that never occurs is an error', () => {
    expect(cronProblem('0 9 31 2 *')).toBe('it names a day that never occurs');
  });
});

describe('a window', () => {
  it('that a clock change skips is remarked on, with the day', () => {
    expect(scheduleRemarks(every(24, window(2, 3), 'Europe/Berlin'), nowMs)).toEqual([
      'on 2026-03-29 a clock change skips the window 02:00-03:00 (Europe/Berlin): it does not open on that day',
    ]);
    expect(scheduleRemarks(every(24, window(0, 1), 'America/Santiago'), nowMs)[0]).toContain('on 2026-09-06');
  });
  it('of which a part stays, or on other days, is not', () => {
    const schedules = [
      every(24, window(2, 4), 'Europe/Berlin'),
      every(24, window(23, 3), 'Europe/Berlin'),
      every(168, window(2, 3, ['mon']), 'Europe/Berlin'),
      every(24, window(2, 3), 'America/Sao_Paulo'),
      every(24, window(2, 3)),
    ];
    for (const schedule of schedules) expect(scheduleRemarks(schedule, nowMs)).toEqual([]);
  });
  it('that a cron schedule is never inside is remarked on', () => {
    expect(scheduleRemarks(cron('0 12 * * *', window(2, 5)), nowMs)).toEqual([
      '0 12 * * * is never inside its window 02:00-05:00 (UTC): each rotation waits until the window opens',
    ]);
    expect(scheduleRemarks(cron('0 3 * * SUN', window(2, 5, ['mon'])), nowMs)[0]).toContain('never inside');
    expect(scheduleRemarks(cron('0 3 29 2 *', window(4, 5)), nowMs)).toHaveLength(2);
  });
  it('that a cron schedule is inside at times is not', () => {
    expect(scheduleRemarks(cron('0 * * * *', window(2, 5)), nowMs)).toEqual([]);
    expect(scheduleRemarks(cron('0 3 * * *', window(2, 5, ['mon'])), nowMs)).toEqual([]);
  });
  it('that allows fewer rotations than the period asks for is remarked on', () => {
    expect(scheduleRemarks(every(5, window(2, 3)), nowMs)).toEqual([
      'every 5h is shorter than its window 02:00-03:00 (UTC) allows: rotations come every 1d on average',
    ]);
    expect(scheduleRemarks(every(24, window(2, 3, ['mon'])), nowMs)[0]).toContain('every 7d on average');
  });
  it('that a period fits is not', () => {
    for (const schedule of [
      every(24, window(2, 3)),
      every(23, window(2, 3)),
      every(1, window(2, 5)),
      every(168, window(2, 3, ['mon'])),
    ]) {
      expect(scheduleRemarks(schedule, nowMs)).toEqual([]);
    }
  });
});

describe('a whole file', () => {
  const instance: InstanceConfig = {
    name: 'bot',
    token: { name: 'token', from: 'env', variable: 'T' },
    rateLimit: { max: 100, perMs: 60_000, reserve: 10 },
    concurrency: 5,
    paceMs: 0,
  };
  const groups = (count: number, schedule: GroupConfig['schedule'], enabled = true) =>
    Array.from({ length: count }, (_, i) => ({
      ...{ id: `g${i}`, identifier: { kind: 'code', code: `CODE${i}` } as const, instance: 'bot', schedule },
      ...{ firstSeen: 'spread' as const, enabled, title: null },
    })) as GroupConfig[];
  const remarks = (of: GroupConfig[], { paceMs = 0, verifyMs = 86_400_000 } = {}) =>
    remarksOf(
      {
        included: [],
        instances: [{ ...instance, paceMs }],
        groups: of,
        verify: { everyMs: verifyMs, share: 0.1 },
      } as never,
      nowMs,
    );

  it('has one remark for all groups with a schedule, and none for disabled ones', () => {
    expect(remarks(groups(8, cron('0 9 31 * *')))).toEqual([
      {
        ...{ about: 'groups', names: ['g0', 'g1', 'g2', 'g3', 'g4'], count: 8 },
        message: '0 9 31 * *: is left out in months without a day 31',
      },
    ]);
    expect(remarks(groups(8, cron('0 9 31 * *'), false))).toEqual([]);
    const both = [24, 48].flatMap((hours) => groups(1, every(hours, window(2, 3), 'Europe/Berlin')));
    expect(remarks(both)).toMatchObject([{ count: 2, message: expect.stringContaining('2026-03-29') }]);
  });
  it('says how long it takes if hundreds of groups are due in one minute', () => {
    expect(remarks(groups(90, cron('0 9 * * *')))).toEqual([]);
    expect(remarks(groups(300, cron('0 9 * * *')))).toEqual([
      {
        ...{ about: 'instance', names: ['bot'], count: 1 },
        message:
          '300 groups are due in the same minute (cron 0 9 * * * (UTC)): at 90.0 calls a minute the last waits 180s; spread the times',
      },
    ]);
    expect(remarks(groups(5, cron('0 9 * * *')), { paceMs: 30_000 })[0]?.message).toContain(
      'at a pace of 30s the last waits 120s',
    );
    expect(remarks(groups(300, every(24)))).toEqual([]);
  });
  it('says how often links are verified if the share of the limit allows less than the file asks for', () => {
    const hour = { verifyMs: 3_600_000 };
    expect(remarks(groups(600, every(24)), hour)).toEqual([]);
    expect(remarks(groups(1_500, every(24)), hour)[0]?.message).toBe(
      'verified every 2h 30m: 1500 groups at 10 reads a minute',
    );
    // Rotations leave less than the share.
    expect(remarks(groups(5_300, every(1)), hour)[0]?.message).toBe(
      'verified every 2d 5h: 5300 groups at 1.67 reads a minute',
    );
  });
});

it('remarks on a pattern that names no file', () => {
  const included = [
    { pattern: 'groups/*.yaml', files: 0 },
    { pattern: 'teams/*.yaml', files: 2 },
  ];
  expect(remarksOf({ included, instances: [], groups: [], verify: null }, 0)).toEqual([
    { about: 'include', names: ['groups/*.yaml'], count: 1, message: 'no file has such a name' },
  ]);
});
