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

describe('what must be done inside windows', () => {
  /** Ten calls a minute. */
  const ten = 'rateLimit: { max: 20 }';
  const daily = (from: string, to: string, more = '') => `every: 1d, window: { from: "${from}", to: "${to}" ${more} }`;

  it('is reported with the arithmetic if it does not fit', () => {
    expect(messages('', 600, daily('02:00', '02:05'))).toEqual([
      'instances[0]: bot: inside 02:00-02:05 (UTC), 600 groups need 120.0 calls a minute (4,200 in 35m a week); the share for scheduled work is 90.0 (100 less 10 in reserve, per 1m): make the window at least 1.34 times as long, use windows at different times, raise "every", or ask for a higher limit',
    ]);
  });
  it('may fill the window', () => {
    expect(messages(ten, 50, daily('02:00', '02:05'))).toEqual([]);
    expect(messages(ten, 51, daily('02:00', '02:05'))).toHaveLength(1);
    expect(messages(ten, 200, daily('23:50', '00:10'))).toEqual([]);
    expect(messages(ten, 201, daily('23:50', '00:10'))).toHaveLength(1);
  });
  it('counts the days on which the window opens', () => {
    const weekly = 'every: 7d, window: { from: "02:00", to: "02:05", days: [mon] }';
    expect(messages(ten, 51, weekly)[0]).toContain('inside 02:00-02:05 mon (UTC), 51 groups need 10.2 calls a minute');
    expect(messages(ten, 51, 'every: 7d, window: { from: "02:00", to: "02:05" }')).toEqual([]);
  });
  it('counts only the rotations that the days allow', () => {
    // From each Saturday, three days lead to the next one.
    const weekend = 'every: 3d, window: { from: "02:00", to: "02:05", days: [sat, sun] }';
    expect(messages(ten, 100, weekend)).toEqual([]);
    expect(messages(ten, 101, weekend)[0]).toContain('101 groups need 10.1 calls a minute (101 in 10m a week)');
  });
  it('counts one rotation for each opening, if the period is shorter', () => {
    expect(messages(ten, 50, 'every: 1h, window: { from: "02:00", to: "02:05" }')).toEqual([]);
    expect(messages(ten, 51, 'every: 1h, window: { from: "02:00", to: "02:05" }')).toHaveLength(1);
  });
  it('counts each rotation inside a window that is longer than the period', () => {
    expect(messages(ten, 11, 'every: 1m, window: { from: "02:00", to: "02:30" }')[0]).toContain('11 groups need 11.0');
    expect(messages(ten, 10, 'every: 1m, window: { from: "02:00", to: "02:30" }')).toEqual([]);
  });
  it('allows a whole limit for each opening that is shorter than its period', () => {
    expect(messages('rateLimit: { max: 20, per: 1h }', 10, daily('02:00', '02:05'))).toEqual([]);
    expect(messages('rateLimit: { max: 20, per: 1h }', 11, daily('02:00', '02:05'))).toHaveLength(1);
  });
  it('counts a cron schedule whose times wait for the window', () => {
    expect(messages(ten, 60, 'cron: "0 12 * * *", window: { from: "02:00", to: "02:05" }')[0]).toContain('12.0 calls');
  });
  it('ignores disabled groups', () => {
    expect(messages(ten, 60, `${daily('02:00', '02:05')}, enabled: false`)).toEqual([]);
  });
  it('counts windows that overlap together, in any zone', () => {
    const text = (second: string) => `instances: [{ name: bot, tokenEnv: T, ${ten} }]
groups:
${Array.from({ length: 35 }, (_, i) => `  - { id: a${i}, identifier: "CODE${100_000 + i}", ${daily('02:00', '02:05')} }\n`).join('')}
${Array.from({ length: 35 }, (_, i) => `  - { id: b${i}, identifier: "CODE${200_000 + i}", ${second} }\n`).join('')}`;
    const report = (second: string) => {
      const loaded = parseConfig(text(second), '/r.yaml');
      return loaded.ok ? [] : loaded.problems.map(({ message }) => message);
    };
    expect(report(daily('02:05', '02:10'))).toEqual([]);
    expect(report(daily('02:01', '02:06'))[0]).toContain(
      'inside 02:00-02:05 (UTC), 02:01-02:06 (UTC), 70 groups need 11.7',
    );
    expect(report(`${daily('03:01', '03:06')}, timezone: Europe/Berlin`)[0]).toContain(
      '02:00-02:05 (UTC), 03:01-03:06 (Europe/Berlin), 70',
    );
    expect(report('every: 1d')).toEqual([]);
  });
  it('is compared with the pace too', () => {
    expect(messages('pace: 30s', 20, daily('02:00', '02:10'))).toEqual([]);
    expect(messages('pace: 30s', 21, daily('02:00', '02:10'))).toEqual([
      'instances[0].pace: bot: inside 02:00-02:10 (UTC), 21 groups need 2.1 resets a minute (147 in 70m a week); a pace of 30s allows 2.0: make the window at least 1.05 times as long, use windows at different times, raise "every", or shorten the pace',
    ]);
    expect(messages('pace: 30s', 301, 'every: 144m')[0]).toMatch(
      /301 groups need 2.1 resets a minute; a pace of 30s allows 2.0:/,
    );
  });
});

it('keeps one schedule for all groups that have the same', () => {
  const loaded = load('', 3, 'cron: "0 9 * * MON", timezone: Europe/Berlin');
  expect(new Set(loaded.ok ? loaded.config.groups.map(({ schedule }) => schedule) : []).size).toBe(1);
});
