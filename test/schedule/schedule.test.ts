import fc from 'fast-check';
import { DateTime } from 'luxon';
import { describe, expect, it } from 'vitest';
import {
  firstDue,
  firstSeenKinds,
  meanPeriodMs,
  nextDue,
  type Schedule,
  slideIntoWindow,
} from '../../src/schedule/schedule.ts';
import { type Window, weekdays } from '../../src/schedule/window.ts';

const hour = 3_600_000;
const at = (text: string, zone = 'UTC') => DateTime.fromISO(text, { zone }).toMillis();
const show = (ms: number, zone: string) => DateTime.fromMillis(ms, { zone }).toFormat("yyyy-MM-dd'T'HH:mm ZZ");

const every = (everyMs: number, window: Window | null = null, timezone = 'UTC'): Schedule => ({
  kind: 'every',
  everyMs,
  timezone,
  window,
});
const cron = (text: string, timezone: string, window: Window | null = null): Schedule => ({
  kind: 'cron',
  cron: text,
  timezone,
  window,
});

describe('cron through changes of summer time', () => {
  const table: [string, string, string, string, string[]][] = [
    [
      'moves a skipped time past the change',
      '30 2 * * *',
      'America/New_York',
      '2026-03-07T12:00',
      ['2026-03-08T03:30 -04:00', '2026-03-09T02:30 -04:00'],
    ],
    [
      'uses a repeated time once',
      '30 1 * * *',
      'America/New_York',
      '2026-10-31T12:00',
      ['2026-11-01T01:30 -04:00', '2026-11-02T01:30 -05:00'],
    ],
    [
      'skips no hour',
      '0 * * * *',
      'Europe/Berlin',
      '2026-03-29T00:30',
      ['2026-03-29T01:00 +01:00', '2026-03-29T03:00 +02:00', '2026-03-29T04:00 +02:00'],
    ],
    [
      'neither repeats nor omits an hour',
      '0 * * * *',
      'Europe/Berlin',
      '2026-10-25T01:30',
      ['2026-10-25T02:00 +02:00', '2026-10-25T02:00 +01:00', '2026-10-25T03:00 +01:00'],
    ],
  ];
  it.each(table)('%s', (_name, text, zone, from, expected) => {
    let now = at(from, zone);
    const seen = expected.map(() => {
      now = nextDue(cron(text, zone), now);
      return show(now, zone);
    });
    expect(seen).toEqual(expected);
  });
});

describe('windows', () => {
  const night: Window = { fromMinute: 22 * 60, toMinute: 5 * 60, days: ['mon', 'tue', 'wed', 'thu', 'fri'] };
  const zone = 'America/Sao_Paulo';
  const table: [string, string, string][] = [
    ['inside is not moved', '2026-11-23T23:15', '2026-11-23T23:15 -03:00'],
    ['after midnight of a day on which the window opened is not moved', '2026-11-24T04:59', '2026-11-24T04:59 -03:00'],
    ['slides to the evening', '2026-11-24T05:00', '2026-11-24T22:00 -03:00'],
    ['belongs to the day on which it opens', '2026-11-28T04:00', '2026-11-28T04:00 -03:00'],
    ['waits over the weekend', '2026-11-28T05:00', '2026-11-30T22:00 -03:00'],
    ['does not open late on Sunday', '2026-11-30T02:00', '2026-11-30T22:00 -03:00'],
  ];
  it.each(table)('a due time %s', (_name, from, expected) => {
    expect(show(slideIntoWindow(every(hour, night, zone), at(from, zone)), zone)).toBe(expected);
  });

  it('opens at the change if summer time skips its start', () => {
    const early: Window = { fromMinute: 150, toMinute: 240, days: [...weekdays] };
    const berlin = 'Europe/Berlin';
    const slid = slideIntoWindow(every(hour, early, berlin), at('2026-03-29T00:00', berlin));
    expect(show(slid, berlin)).toBe('2026-03-29T03:00 +02:00');
  });
});

describe('the first rotation of a new group', () => {
  const now = at('2026-11-23T12:00');
  it('is due at once, at a phase of its own, or after a period', () => {
    expect(firstDue(every(hour), 'rotate', 'a', now)).toBe(now);
    expect(firstDue(every(hour), 'wait', 'a', now)).toBe(now + hour);
    const spread = ['a', 'b', 'c', 'd'].map((id) => firstDue(every(hour), 'spread', id, now));
    expect(new Set(spread).size).toBe(4);
    for (const due of spread) expect(due).toBeGreaterThanOrEqual(now);
    for (const due of spread) expect(due).toBeLessThan(now + hour);
  });
  it('has the same phase at any time', () => {
    const first = firstDue(every(hour), 'spread', 'a', now);
    expect(firstDue(every(hour), 'spread', 'a', first)).toBe(first);
    expect(firstDue(every(hour), 'spread', 'a', first + 1)).toBe(first + hour);
  });
});

it('spread shares a period evenly between groups', () => {
  const quarters = [0, 0, 0, 0];
  for (let i = 0; i < 1_000; i++) {
    const phase = firstDue(every(hour), 'spread', `group-${i}`, at('2026-11-23T12:00')) - at('2026-11-23T12:00');
    quarters[Math.floor((phase / hour) * 4)]! += 1;
  }
  for (const count of quarters) expect(count).toBeGreaterThan(200);
});

it('the mean period is that of the interval, or of the times a cron expression names', () => {
  expect(meanPeriodMs(every(hour))).toBe(hour);
  expect(meanPeriodMs(cron('0 9 * * MON', 'Europe/Berlin'))).toBe(7 * 24 * hour);
});

describe('whatever the schedule', () => {
  const zones = fc.constantFrom(
    'UTC',
    'America/Sao_Paulo',
    'America/New_York',
    'Europe/Berlin',
    'Australia/Lord_Howe',
    'Asia/Kolkata',
  );
  const minute = fc.integer({ min: 0, max: 1_439 });
  const windows = fc
    .record({ fromMinute: minute, toMinute: minute, days: fc.subarray([...weekdays], { minLength: 1 }) })
    .filter(({ fromMinute, toMinute }) => fromMinute !== toMinute);
  const schedules: fc.Arbitrary<Schedule> = fc.oneof(
    fc.record({
      kind: fc.constant('every' as const),
      everyMs: fc.integer({ min: 1_000, max: 30 * 24 * hour }),
      timezone: zones,
      window: fc.option(windows),
    }),
    fc.record({
      kind: fc.constant('cron' as const),
      cron: fc.constantFrom('0 9 * * MON', '*/15 * * * *', '30 2 * * *', '0 0 1 * *', '59 23 * * 0', '0 */6 * * *'),
      timezone: zones,
      window: fc.option(windows),
    }),
  );
  const times = fc.integer({ min: at('2025-01-01'), max: at('2028-01-01') });

  it('the next rotation is later, inside the window, and stays where it is when asked for again', () => {
    fc.assert(
      fc.property(schedules, times, (schedule, last) => {
        const due = nextDue(schedule, last);
        expect(due).toBeGreaterThan(last);
        expect(slideIntoWindow(schedule, due)).toBe(due);
        if (schedule.kind === 'every') expect(due).toBeGreaterThanOrEqual(last + schedule.everyMs);
        if (schedule.window === null && schedule.kind === 'every') expect(due).toBe(last + schedule.everyMs);
      }),
      { numRuns: 300 },
    );
  });
  it('a later rotation never brings the next one forward', () => {
    fc.assert(
      fc.property(schedules, times, fc.integer({ min: 0, max: 40 * 24 * hour }), (schedule, last, later) => {
        expect(nextDue(schedule, last + later)).toBeGreaterThanOrEqual(nextDue(schedule, last));
      }),
      { numRuns: 300 },
    );
  });
  it('the first rotation is never in the past, and inside the window', () => {
    fc.assert(
      fc.property(schedules, times, fc.constantFrom(...firstSeenKinds), fc.string(), (schedule, now, firstSeen, id) => {
        const due = firstDue(schedule, firstSeen, id, now);
        expect(due).toBeGreaterThanOrEqual(now);
        expect(slideIntoWindow(schedule, due)).toBe(due);
      }),
      { numRuns: 300 },
    );
  });
});
