import { expect, it } from 'vitest';
import { didYouMean, didYouMeanTimezone } from '../../src/config/nearMiss.ts';

const known = ['every', 'timezone', 'vip', 'vip-berlin', 'group-10', 'group-11', 'onboarding', 'x'];

it.each([
  ['evry', 'every'],
  ['evrey', 'every'],
  ['Every', 'every'],
  ['time_zone', 'timezone'],
  ['timezoone', 'timezone'],
  ['vpi', 'vip'],
  ['vipp', 'vip'],
  ['vip_berlin', 'vip-berlin'],
  ['onbording', 'onboarding'],
  ['grup-10', 'group-10'],
])('%s may be meant as %s', (word, expected) => {
  expect(didYouMean(word, known)).toBe(`; did you mean "${expected}"?`);
});

it.each([
  ['another word', 'zebra'],
  ['three letters of three', 'abc'],
  ['two letters of three', 'vap1'],
  ['one letter of one', 'y'],
  ['another number', 'group-12'],
  ['another number, and a letter', 'grup-12'],
  ['three letters too many', 'onboarding-abc'],
  ['an invite code', 'ABC123XYZ'],
  ['nothing', ''],
])('suggests nothing for %s', (_name, word) => expect(didYouMean(word, known)).toBe(''));

it('prefers the nearest of several, and the first of equals', () => {
  expect(didYouMean('team', ['teams', 'beam'])).toBe('; did you mean "teams"?');
  expect(didYouMean('teem', ['teams', 'team'])).toBe('; did you mean "team"?');
  expect(didYouMean('any', [])).toBe('');
});

it.each([
  ['America/SaoPaulo', 'America/Sao_Paulo'],
  ['america/sao paulo', 'America/Sao_Paulo'],
  ['Brazil/Sao_Paulo', 'America/Sao_Paulo'],
  ['SaoPaulo', 'America/Sao_Paulo'],
  ['Europe/Berln', 'Europe/Berlin'],
  ['Berlin', 'Europe/Berlin'],
])('the zone %s may be meant as %s', (word, expected) => {
  expect(didYouMeanTimezone(word)).toBe(`; did you mean "${expected}"?`);
});

it('suggests no zone for what is not near any', () => {
  for (const word of ['Mars/Olympus', 'BRT', 'local', '']) expect(didYouMeanTimezone(word)).toBe('');
});
