import { describe, expect, it } from 'vitest';
import { askedPerMinute, formatRate } from '../../src/config/demand.ts';
import { parseConfig } from '../../src/config/load.ts';

/** `count` groups with the same settings. */
function load(instance: string, count: number, rest: string) {
  const groups = Array.from(
    { length: count },
    (_, i) => `  - { id: g${i}, identifier: "CODE${100_000 + i}", ${rest} }\n`,
  );
  return parseConfig(`instances:\n  - { name: bot, tokenEnv: T, ${instance} }\ngroups:\n${groups.join('')}`, '/r.yaml');
}
function messages(instance: string, count: number, rest: string): string[] {
  const loaded = load(instance, count, rest);
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`);
}

describe('the share of a token', () => {
  it('is reported with the arithmetic if the groups need more', () => {
    expect(messages('', 2_000, 'every: 10m')).toEqual([
      'instances[0]: bot: 2,000 groups need 200.0 calls a minute; the share for scheduled work is 90.0 (100 less 10 in reserve, per 1m): raise "every" from 10m to at least 23m, or ask for a higher limit',
    ]);
  });
  it('may be used in full', () => {
    expect(messages('', 900, 'every: 10m')).toEqual([]);
    expect(messages('', 630, 'every: 7m')).toEqual([]);
    expect(messages('pace: 1s', 60, 'every: 1m')).toEqual([]);
  });
  it('is shown with as many digits as make the two rates differ', () => {
    expect(messages('rateLimit: { max: 12, reserve: 2 }', 1_001, 'every: 100m')[0]).toContain(
      'need 10.01 calls a minute; the share for scheduled work is 10.00 (',
    );
  });
  it('counts a cron schedule by its mean, and ignores disabled groups', () => {
    expect(messages('', 91, 'cron: "* * * * *"')[0]).toContain('make the periods at least 1.02 times as long');
    expect(messages('', 91, 'cron: "* * * * *", enabled: false')).toEqual([]);
    expect(messages('', 200, 'cron: "*/10 9 * * MON-FRI"')).toEqual([]);
  });
  it('is derived from the limit and its period', () => {
    expect(messages('rateLimit: { max: 10, per: 10s, reserve: 4 }', 36, 'every: 1m')).toEqual([]);
    expect(messages('rateLimit: { max: 10, per: 10s, reserve: 4 }', 37, 'every: 1m')).toHaveLength(1);
  });
});

it('adds up what the enabled groups need', () => {
  const loaded = load('', 10, 'every: 5m');
  expect(loaded.ok && askedPerMinute(loaded.config.groups)).toBe(2);
});

it('formats rates as short texts', () => {
  expect([0, 0.000_01, 0.5, 9, 12.34].map(formatRate)).toEqual(['0', '<0.001', '0.50', '9.0', '12.3']);
});
