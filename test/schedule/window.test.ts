import fc from 'fast-check';
import { DateTime } from 'luxon';
import { describe, expect, it, test } from 'vitest';
import { isOpen, slide, type Weekday, type Window, weekdays } from '../../src/schedule/window.ts';

const zones = ['UTC', 'America/New_York', 'Europe/Berlin', 'America/Santiago', 'Asia/Kolkata', 'Australia/Lord_Howe'];

function window(from: string, to: string, ...days: Weekday[]): Window {
  const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  return { fromMinute: minutes(from), toMinute: minutes(to), days: days.length === 0 ? weekdays : days };
}

const rows: [what: string, window: Window, zone: string, at: string, expected: string][] = [
  ['inside stays', window('02:00', '05:00'), 'UTC', '2026-01-05T03:00:00.001Z', '2026-01-05T03:00:00.001Z'],
  ['the beginning is inside', window('02:00', '05:00'), 'UTC', '2026-01-05T02:00:00.000Z', '2026-01-05T02:00:00.000Z'],
  ['the end is outside', window('02:00', '05:00'), 'UTC', '2026-01-05T05:00:00.000Z', '2026-01-06T02:00:00.000Z'],
  [
    'before waits for the same day',
    window('02:00', '05:00'),
    'UTC',
    '2026-01-05T01:59:59.999Z',
    '2026-01-05T02:00:00.000Z',
  ],
  [
    'a wrong day waits for the next right one',
    window('02:00', '05:00', 'mon'),
    'UTC',
    '2026-01-06T03:00:00.000Z',
    '2026-01-12T02:00:00.000Z',
  ],
  [
    'over midnight, evening',
    window('22:00', '02:00', 'fri'),
    'UTC',
    '2026-01-09T23:00:00.000Z',
    '2026-01-09T23:00:00.000Z',
  ],
  [
    'over midnight, the day names its opening',
    window('22:00', '02:00', 'fri'),
    'UTC',
    '2026-01-10T01:00:00.000Z',
    '2026-01-10T01:00:00.000Z',
  ],
  [
    'over midnight, the morning before is outside',
    window('22:00', '02:00', 'fri'),
    'UTC',
    '2026-01-09T01:00:00.000Z',
    '2026-01-09T22:00:00.000Z',
  ],
  [
    'until the end of the day',
    window('22:00', '24:00', 'fri'),
    'UTC',
    '2026-01-10T00:00:00.000Z',
    '2026-01-16T22:00:00.000Z',
  ],
  [
    'until midnight, as the next day begins',
    window('22:00', '00:00', 'fri'),
    'UTC',
    '2026-01-09T23:59:59.999Z',
    '2026-01-09T23:59:59.999Z',
  ],
  ['in the zone', window('02:00', '05:00'), 'America/New_York', '2026-01-05T12:00:00.000Z', '2026-01-06T07:00:00.000Z'],
  [
    'a skipped beginning opens at the change',
    window('02:30', '04:00'),
    'America/New_York',
    '2026-03-08T05:00:00.000Z',
    '2026-03-08T07:00:00.000Z',
  ],
  [
    'a window that is skipped whole waits a day',
    window('02:00', '03:00'),
    'America/New_York',
    '2026-03-08T05:00:00.000Z',
    '2026-03-09T06:00:00.000Z',
  ],
  [
    'or a week',
    window('02:00', '03:00', 'sun'),
    'America/New_York',
    '2026-03-08T05:00:00.000Z',
    '2026-03-15T06:00:00.000Z',
  ],
  [
    'or two, all but a moment',
    window('02:00', '03:00', 'sun'),
    'America/New_York',
    '2026-03-01T08:00:00.000Z',
    '2026-03-15T06:00:00.000Z',
  ],
  [
    'the second pass of a repeated hour opens again',
    window('01:00', '01:30'),
    'America/New_York',
    '2026-11-01T05:45:00.000Z',
    '2026-11-01T06:00:00.000Z',
  ],
  [
    'turned back into it, it opens at the change',
    window('00:30', '01:15'),
    'America/New_York',
    '2026-11-01T05:20:00.000Z',
    '2026-11-01T06:00:00.000Z',
  ],
  [
    'turned back out of it, it opens again later',
    window('01:30', '03:00'),
    'America/New_York',
    '2026-11-01T06:10:00.000Z',
    '2026-11-01T06:30:00.000Z',
  ],
  [
    'a skipped midnight',
    window('00:00', '00:30'),
    'America/Santiago',
    '2026-09-05T12:00:00.000Z',
    '2026-09-07T03:00:00.000Z',
  ],
];
test.each(rows)('%s', (_what, open, zone, at, expected) => {
  expect(new Date(slide(open, zone, Date.parse(at))).toISOString()).toBe(expected);
});

const anyWindow = fc
  .record({
    fromMinute: fc.integer({ min: 0, max: 1439 }),
    toMinute: fc.integer({ min: 0, max: 1440 }),
    days: fc.subarray([...weekdays], { minLength: 1 }),
  })
  .filter(({ fromMinute, toMinute }) => fromMinute !== toMinute);
const moment = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2032, 0, 1) });

/** The same, computed by luxon: what the clock on the wall shows. */
function shownOpen({ fromMinute, toMinute, days }: Window, zone: string, atMs: number): boolean {
  const at = DateTime.fromMillis(atMs, { zone });
  const minute = at.hour * 60 + at.minute;
  const named = (isoWeekday: number) => days.includes(weekdays[isoWeekday - 1] as Weekday);
  const yesterday = at.weekday === 1 ? 7 : at.weekday - 1;
  if (fromMinute < toMinute) return named(at.weekday) && minute >= fromMinute && minute < toMinute;
  return (named(at.weekday) && minute >= fromMinute) || (named(yesterday) && minute < toMinute);
}

describe('always', () => {
  it('is open according to the reading of the clock', () => {
    fc.assert(
      fc.property(anyWindow, fc.constantFrom(...zones), moment, (open, zone, at) => {
        expect(isOpen(open, zone, at)).toBe(shownOpen(open, zone, at));
      }),
      { numRuns: 300 },
    );
  });

  it('slides to the next opening, never back', () => {
    fc.assert(
      fc.property(
        anyWindow,
        fc.constantFrom(...zones),
        moment,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (open, zone, at, part) => {
          const slid = slide(open, zone, at);
          expect(slid).toBeGreaterThanOrEqual(at);
          expect(shownOpen(open, zone, slid)).toBe(true);
          if (slid > at) expect(shownOpen(open, zone, at + Math.floor((slid - 1 - at) * part))).toBe(false);
          expect(slide(open, zone, slid)).toBe(slid);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('skips no opening on days with a clock change', () => {
    const changes = [
      Date.UTC(2026, 2, 7),
      Date.UTC(2026, 9, 31),
      Date.UTC(2026, 2, 28),
      Date.UTC(2026, 9, 24),
      Date.UTC(2026, 8, 5),
      Date.UTC(2026, 3, 4),
    ];
    const near = fc
      .tuple(fc.constantFrom(...changes), fc.integer({ min: 0, max: 48 * 3_600_000 }))
      .map(([day, ms]) => day + ms);
    fc.assert(
      fc.property(anyWindow, fc.constantFrom(...zones), near, (open, zone, at) => {
        const slid = slide(open, zone, at);
        for (
          let minute = Math.ceil(at / 60_000) * 60_000;
          minute < Math.min(slid, at + 2 * 86_400_000);
          minute += 300_000
        ) {
          expect(shownOpen(open, zone, minute)).toBe(false);
        }
      }),
      { numRuns: 100 },
    );
  });
});
