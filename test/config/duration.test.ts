import { expect, it } from 'vitest';
import { durationHint, durationProblem, formatDuration, parseDuration } from '../../src/config/duration.ts';

it('reads every unit, and shows weeks as days', () => {
  const texts = ['250ms', '30s', '5m', '6h', '7d', '1w'];
  expect(texts.map(parseDuration)).toEqual([250, 30_000, 300_000, 21_600_000, 604_800_000, 604_800_000]);
  expect(formatDuration(parseDuration('2w') ?? 0)).toBe('14d');
});

it.each([
  ['7 days', '; write 7d'],
  ['1 h', '; write 1h'],
  ['1 W', '; write 7d'],
  ['24H', '; write 1d'],
  ['P1D', '; write 1d'],
  ['PT1H30M', '; write 90m'],
  ['P1DT12H', '; write 36h'],
  ['1.5h', '; write 90m'],
  ['1,5h', '; write 90m'],
  ['1h30m', '; write 90m'],
  ['1 day, 12 hours', '; write 36h'],
  ['5 minutes', '; write 5m'],
  ['5min', '; write 5m'],
  ['60', ': add a unit, as in 60s or 60m'],
  ['soon', ''],
  ['daily', ''],
  ['1 month', ''],
  ['P1M', ''],
  ['-5m', ''],
  ['0.0001s', ''],
  ['1:30', ''],
])('%s is no duration%s', (text, hint) => {
  expect(parseDuration(text)).toBe(null);
  expect(durationHint(text)).toBe(hint);
});

it('says what was found', () => {
  const found = [60, '7 days', null, true, [], ''].map((value) => durationProblem(value).split(', found ')[1]);
  expect(found).toEqual([
    '60: add a unit, as in 60s or 60m',
    '"7 days"; write 7d',
    'nothing',
    'true',
    'an empty list',
    'empty text',
  ]);
});
