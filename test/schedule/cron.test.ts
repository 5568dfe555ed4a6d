import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import { DateTime } from 'luxon';
import { describe, expect, it, test } from 'vitest';
import { cronProblem, meanInterval, nextOccurrence, occurrences } from '../../src/schedule/cron.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** The next occurrences as a clock on the wall shows them. */
function shown(cron: string, timezone: string, from: string, count: number): string[] {
  const moments: string[] = [];
  for (const moment of occurrences(cron, timezone, Date.parse(from))) {
    moments.push(DateTime.fromMillis(moment, { zone: timezone }).toFormat('dd HH:mm ZZ'));
    if (moments.length === count) break;
  }
  return moments;
}

describe('changes of the clocks', () => {
  const rows: [what: string, cron: string, timezone: string, from: string, expected: string[]][] = [
    // New York: 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00.
    [
      'a skipped time comes after the change',
      '30 2 * * *',
      'America/New_York',
      '2026-03-07T12:00:00Z',
      ['08 03:30 -04:00', '09 02:30 -04:00'],
    ],
    [
      'the skipped hour itself comes at the change',
      '0 2 * * *',
      'America/New_York',
      '2026-03-07T12:00:00Z',
      ['08 03:00 -04:00', '09 02:00 -04:00'],
    ],
    [
      'a skipped time joins the one it falls on',
      '0 2,3 * * *',
      'America/New_York',
      '2026-03-07T12:00:00Z',
      ['08 03:00 -04:00', '09 02:00 -04:00', '09 03:00 -04:00'],
    ],
    [
      'a weekly time is not omitted',
      '30 2 * * SUN',
      'America/New_York',
      '2026-03-07T12:00:00Z',
      ['08 03:30 -04:00', '15 02:30 -04:00'],
    ],
    [
      'every hour follows elapsed time',
      '0 * * * *',
      'America/New_York',
      '2026-03-08T05:30:00Z',
      ['08 01:00 -05:00', '08 03:00 -04:00', '08 04:00 -04:00'],
    ],
    [
      'a repeated time comes once, first pass',
      '30 1 * * *',
      'America/New_York',
      '2026-10-31T12:00:00Z',
      ['01 01:30 -04:00', '02 01:30 -05:00'],
    ],
    [
      'nor again when asked within the second pass',
      '45 1 * * *',
      'America/New_York',
      '2026-11-01T06:30:00Z',
      ['02 01:45 -05:00'],
    ],
    [
      'every hour comes in both passes',
      '0 * * * *',
      'America/New_York',
      '2026-11-01T03:30:00Z',
      ['01 00:00 -04:00', '01 01:00 -04:00', '01 01:00 -05:00', '01 02:00 -05:00'],
    ],
    [
      'every half hour too',
      '*/30 * * * *',
      'America/New_York',
      '2026-11-01T04:45:00Z',
      ['01 01:00 -04:00', '01 01:30 -04:00', '01 01:00 -05:00', '01 01:30 -05:00', '01 02:00 -05:00'],
    ],
    [
      'hours in steps name times of day',
      '30 */2 * * *',
      'America/New_York',
      '2026-11-01T04:00:00Z',
      ['01 00:30 -04:00', '01 02:30 -05:00', '01 04:30 -05:00'],
    ],
    // Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00.
    [
      'a skipped time comes after the change',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-03-28T12:00:00Z',
      ['29 03:30 +02:00', '30 02:30 +02:00'],
    ],
    [
      'every hour follows elapsed time',
      '0 * * * *',
      'Europe/Berlin',
      '2026-03-28T23:30:00Z',
      ['29 01:00 +01:00', '29 03:00 +02:00', '29 04:00 +02:00'],
    ],
    [
      'a repeated time comes once, first pass',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-10-24T12:00:00Z',
      ['25 02:30 +02:00', '26 02:30 +01:00'],
    ],
    [
      'nor again when asked within the second pass',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-10-25T01:10:00Z',
      ['26 02:30 +01:00'],
    ],
    [
      'every hour comes in both passes',
      '0 * * * *',
      'Europe/Berlin',
      '2026-10-24T22:30:00Z',
      ['25 01:00 +02:00', '25 02:00 +02:00', '25 02:00 +01:00', '25 03:00 +01:00'],
    ],
    // Midnight itself is skipped: cron-parser leaves the whole day out.
    [
      'midnight is not lost',
      '0 0 * * *',
      'America/Santiago',
      '2026-09-05T12:00:00Z',
      ['06 01:00 -03:00', '07 00:00 -03:00'],
    ],
    [
      'midnight is not lost',
      '0 0 * * *',
      'Africa/Cairo',
      '2026-04-23T12:00:00Z',
      ['24 01:00 +03:00', '25 00:00 +03:00'],
    ],
    [
      'nor on the one day of a year',
      '0 0 24 4 *',
      'Africa/Cairo',
      '2026-04-01T12:00:00Z',
      ['24 01:00 +03:00', '24 00:00 +02:00'],
    ],
    // A change of half an hour: cron-parser throws.
    [
      'half an hour back',
      '0 * * * *',
      'Australia/Lord_Howe',
      '2026-04-04T13:30:00Z',
      ['05 01:00 +11:00', '05 02:00 +10:30', '05 03:00 +10:30'],
    ],
    [
      'half an hour on',
      '15 2 * * *',
      'Australia/Lord_Howe',
      '2026-10-03T00:00:00Z',
      ['04 02:45 +11:00', '05 02:15 +11:00'],
    ],
    // A whole day was skipped.
    [
      'a day that never was',
      '0 9 * * *',
      'Pacific/Apia',
      '2011-12-29T12:00:00Z',
      ['29 09:00 -10:00', '31 09:00 +14:00', '01 09:00 +14:00'],
    ],
  ];
  test.each(rows)('%s: %s in %s', (_what, cron, timezone, from, expected) => {
    expect(shown(cron, timezone, from, expected.length)).toEqual(expected);
  });
});

describe('days', () => {
  const rows: [cron: string, from: string, expected: string][] = [
    ['0 9 * * MON', '2026-01-01T00:00:00Z', '2026-01-05T09:00:00.000Z'],
    ['0 9 * * 7', '2026-01-01T00:00:00Z', '2026-01-04T09:00:00.000Z'],
    ['0 9 1,15 * *', '2026-01-02T00:00:00Z', '2026-01-15T09:00:00.000Z'],
    ['0 9 13 * FRI', '2026-01-01T00:00:00Z', '2026-01-02T09:00:00.000Z'],
    ['0 9 L * *', '2026-02-01T00:00:00Z', '2026-02-28T09:00:00.000Z'],
    ['0 9 * * 5L', '2026-01-01T00:00:00Z', '2026-01-30T09:00:00.000Z'],
    ['0 9 * * 1#3', '2026-01-01T00:00:00Z', '2026-01-19T09:00:00.000Z'],
    ['0 0 29 2 *', '2096-03-01T00:00:00Z', '2104-02-29T00:00:00.000Z'],
    ['0 9 * * MON', '2026-01-05T09:00:00.000Z', '2026-01-12T09:00:00.000Z'],
    ['0 9 * * MON', '2026-01-05T08:59:59.999Z', '2026-01-05T09:00:00.000Z'],
  ];
  test.each(rows)('%s after %s', (cron, from, expected) => {
    expect(new Date(nextOccurrence(cron, 'UTC', Date.parse(from))).toISOString()).toBe(expected);
  });
});

const moment = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2032, 0, 1) });
const timezone = fc.constantFrom(
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'America/Sao_Paulo',
  'America/Santiago',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
);
const cron = fc
  .tuple(
    fc.constantFrom('0', '30', '59', '*/15', '5,35', '*'),
    fc.constantFrom('*', '0', '2', '9', '1-3', '*/6', '23'),
    fc.constantFrom('*', '1', '31', '1,15', 'L'),
    fc.constantFrom('*', '2', '1-6', 'DEC'),
    fc.constantFrom('*', 'MON', '1-5', '0', 'SAT'),
  )
  .map((fields) => fields.join(' '))
  .filter((text) => cronProblem(text) === null);

describe('always', () => {
  it('is the first occurrence after the given moment', () => {
    fc.assert(
      fc.property(cron, timezone, moment, fc.double({ min: 0, max: 1, noNaN: true }), (text, zone, after, part) => {
        const next = nextOccurrence(text, zone, after);
        expect(next).toBeGreaterThan(after);
        const between = after + Math.floor((next - 1 - after) * part);
        expect(nextOccurrence(text, zone, between)).toBe(next);
      }),
    );
  });

  it('agrees with cron-parser if no clock changes', () => {
    fc.assert(
      fc.property(cron, fc.constantFrom('UTC', 'Asia/Kolkata', 'America/Sao_Paulo'), moment, (text, zone, after) => {
        const expected = CronExpressionParser.parse(text, { currentDate: new Date(after), tz: zone })
          .next()
          .getTime();
        expect(nextOccurrence(text, zone, after)).toBe(expected);
      }),
    );
  });

  it('skips and repeats no day for a daily time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1439 }), timezone, moment, (minute, zone, after) => {
        const days: string[] = [];
        for (const next of occurrences(`${minute % 60} ${Math.floor(minute / 60)} * * *`, zone, after)) {
          days.push(DateTime.fromMillis(next, { zone }).toISODate() ?? '');
          if (days.length === 400) break;
        }
        const first = DateTime.fromISO(days[0] ?? '', { zone: 'UTC' });
        expect(days).toEqual(days.map((_, index) => first.plus({ days: index }).toISODate()));
      }),
      { numRuns: 30 },
    );
  });

  it('occurs every 15 minutes of elapsed time', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('UTC', 'America/New_York', 'Europe/Berlin', 'America/Santiago'),
        moment,
        (zone, after) => {
          expect(nextOccurrence('*/15 * * * *', zone, after)).toBe((Math.floor(after / 900_000) + 1) * 900_000);
        },
      ),
    );
  });
});

describe('the mean interval', () => {
  const rows: [cron: string, expected: number][] = [
    ['* * * * *', 60_000],
    ['0 * * * *', hourMs],
    ['0 9 * * *', dayMs],
    ['0 9 * * MON', 7 * dayMs],
    ['*/10 9 * * MON-FRI', (7 * dayMs) / 30],
    ['0 9 29 2 *', (28 * 365.25 * dayMs) / 7],
  ];
  test.each(rows)('of %s', (text, expected) => {
    expect(meanInterval(text)).toBeCloseTo(expected, 3);
  });
});

describe('what is wrong with an expression', () => {
  const field = (name: string, text: string, range: string) =>
    `its ${name} "${text}" is invalid: expected ${range}, *, a list (1,2), a range (1-5) or a step (*/2)`;
  const five = 'expected five fields (minute hour day month weekday), found ';
  const rows: [cron: string, expected: string | null][] = [
    ['0 9 * * MON', null],
    ['  0 9\t* *   MON ', null],
    ['0 0 29 2 *', null],
    ['0 0 31 2 MON', null],
    ['', `${five}0`],
    ['@daily', `${five}1`],
    ['* * * *', `${five}4`],
    ['0 0 9 * * MON', `${five}6`],
    ['61 9 * * *', field('minute', '61', '0 to 59')],
    ['0 25 * * *', field('hour', '25', '0 to 23')],
    ['0 9 32 * *', field('day', '32', '1 to 31')],
    ['0 9 * JANU *', field('month', 'JANU', '1 to 12 or JAN to DEC')],
    ['0 9 * * MOND', field('weekday', 'MOND', '0 to 7 or SUN to SAT')],
    ['0 9 * * FRI-MON', field('weekday', 'FRI-MON', '0 to 7 or SUN to SAT')],
    ['*/0 * * * *', field('minute', '*/0', '0 to 59')],
    ['H 9 * * *', field('minute', 'H', '0 to 59')],
    ['0 0 30 2 *', 'it names a day that never occurs'],
    ['0 0 31 4,6 *', 'it names a day that never occurs'],
  ];
  test.each(rows)('%j', (text, expected) => {
    expect(cronProblem(text)).toBe(expected);
  });
});
