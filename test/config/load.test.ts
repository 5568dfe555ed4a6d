import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problems.ts';

const file = '/etc/rotation.yaml';

/** Valid instances and groups. Line 1 of what follows is line 3 of the file. */
const head = `instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1d }]
`;

function problems(text: string): string[] {
  const parsed = parseConfig(text, file);
  return parsed.ok ? [] : parsed.problems.map(formatProblem).map((line) => line.replace(`${file}:`, ''));
}

describe('a bad file is reported', () => {
  const instance = (rest: string) => `instances:\n  - name: bot\n    ${rest}\n${head.split('\n')[1]}\n`;
  const groups = (...entries: string[]) =>
    `instances: [{ name: bot, tokenEnv: TOKEN }]\ngroups:\n${entries.map((e) => `  - ${e}\n`).join('')}`;
  const a = 'id: a, identifier: 120363406289005073@g.us';

  const table: [string, string, string[]][] = [
    ['empty', '', ['1:1 expected a map of settings, found nothing']],
    ['a list', '- a\n', ['1:1 expected a map of settings, found a list']],
    ['without required sections', 'retry: {}\n', ['1:1 instances: is required', '1:1 groups: is required']],
    [
      'no YAML',
      'groups: [\n',
      ['2:1 not valid YAML: this line is not indented like its neighbours, or a bracket above is not closed'],
    ],
    ['a tab', 'api:\n\ttimeout: 1s\n', ['2:1 not valid YAML: a tab at the beginning of a line; indent with spaces']],
    ['a key twice', `${head}retry: {}\nretry: {}\n`, ['4:1 "retry" appears twice']],
    [
      'an unknown key',
      `${head}shutdownTimout: 5s\n`,
      ['3:1 shutdownTimout: unknown key "shutdownTimout"; did you mean "shutdownTimeout"?'],
    ],
    ['an unknown key unlike any', `${head}zebra: 5s\n`, ['3:1 zebra: unknown key "zebra"']],
    [
      'an unknown key of a section',
      `${head}api: { timout: 3s }\n`,
      ['3:8 api.timout: unknown key "timout"; did you mean "timeout"?'],
    ],
    ['a section that is not a map', `${head}api: fast\n`, ['3:6 api: expected a map, found "fast"']],
    [
      'a duration without a unit',
      `${head}api: { timeout: 30 }\n`,
      [
        '3:17 api.timeout: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found 30: add a unit, as in 30s or 30m',
      ],
    ],
    [
      'a duration as text',
      `${head}api: { timeout: soon }\n`,
      ['3:17 api.timeout: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found "soon"'],
    ],
    [
      'a duration out of bounds',
      `${head}api: { timeout: 1d }\n`,
      ['3:17 api.timeout: expected a duration between 100ms and 10m, found 1d'],
    ],
    [
      'a settle time shorter than the timeout',
      `${head}api: { timeout: 30s, settleTime: 5s }\n`,
      ['3:34 api.settleTime: expected at least "timeout" (30s), found 5s'],
    ],
    [
      'a settle time shorter than the default timeout',
      `${head}api: { settleTime: 29999ms }\n`,
      ['3:20 api.settleTime: expected at least "timeout" (30s), found 29999ms'],
    ],
    [
      'a timeout longer than the default settle time',
      `${head}api: { timeout: 2m }\n`,
      ['3:17 api.timeout: is longer than "settleTime" (90s): set "settleTime" to at least 2m'],
    ],
    [
      'plain http',
      `${head}api: { baseUrl: http://ryzeapi.cloud }\n`,
      ['3:17 api.baseUrl: http would send the token in the clear: use https (http is for loopback hosts only)'],
    ],
    [
      'no address',
      `${head}api: { baseUrl: ryzeapi }\n`,
      ['3:17 api.baseUrl: expected an address like https://ryzeapi.cloud'],
    ],
    [
      'a password in the address',
      `${head}api: { baseUrl: "https://a:b@ryzeapi.cloud" }\n`,
      ['3:17 api.baseUrl: must not contain a user or password'],
    ],
    ['no token', instance('concurrency: 5'), ['2:5 instances[0]: needs "tokenEnv" or "tokenFile"']],
    [
      'two tokens',
      instance('{tokenEnv: A, tokenFile: b}').replace('- name: bot\n    {', '- {name: bot, '),
      ['2:5 instances[0]: has both "tokenEnv" and "tokenFile": remove one'],
    ],
    [
      'a token in place of its name',
      instance('tokenEnv: 9f8e7d-secret'),
      [
        '3:15 instances[0].tokenEnv: expected the name of an environment variable such as RYZE_TOKEN, not the token itself',
      ],
    ],
    [
      'a reserve of everything',
      instance('tokenEnv: T\n    rateLimit: { max: 10 }'),
      ['4:16 instances[0].rateLimit: "reserve" (10) must be less than "max" (10)'],
    ],
    [
      'half a request',
      instance('tokenEnv: T\n    rateLimit: { max: 1.5 }'),
      ['4:23 instances[0].rateLimit.max: expected a whole number from 1 to 100000'],
    ],
    [
      'no concurrency',
      instance('tokenEnv: T\n    concurrency: 0'),
      ['4:18 instances[0].concurrency: expected a whole number from 1 to 1000'],
    ],
    [
      'an instance twice',
      `instances: [{ name: bot, tokenEnv: T }, { name: bot, tokenEnv: U }]\ngroups: [{ ${a}, every: 1d, instance: bot }]\n`,
      ['1:49 instances[1].name: is the same as instances[0].name'],
    ],
    [
      'no groups',
      'instances: [{ name: bot, tokenEnv: T }]\ngroups: []\n',
      ['2:9 groups: expected a list with at least one entry, found an empty list'],
    ],
    [
      'a group without anything',
      groups('{}'),
      [
        '3:5 groups[0].id: is required',
        '3:5 groups[0].identifier: is required',
        '3:5 groups[0]: needs "every" or "cron", here or in defaults',
      ],
    ],
    [
      'a bad id',
      groups(`{ id: VIP, identifier: 120363406289005073@g.us, every: 1d }`),
      ['3:11 groups[0].id: expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit'],
    ],
    [
      'a number as an identifier',
      groups('{ id: a, identifier: 120363406289005073, every: 1d }'),
      [
        '3:26 groups[0].identifier: expected a JID (…@g.us), an invite code or an invite link, as text (put it in quotes), found a number: digits alone are not a JID, which ends in @g.us',
      ],
    ],
    [
      'a bad identifier',
      groups('{ id: a, identifier: "not a group", every: 1d }'),
      [
        '3:26 groups[0].identifier: contains a blank after 3 characters: expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)',
      ],
    ],
    [
      'an id twice',
      groups(`{ ${a}, every: 1d }`, '{ id: a, identifier: 120363406289005074@g.us, every: 1d }'),
      ['4:11 groups[1].id: is the same as groups[0].id'],
    ],
    [
      'a group twice, by code and by link',
      groups(
        '{ id: a, identifier: ABC123XYZ, every: 1d }',
        '{ id: b, identifier: "https://chat.whatsapp.com/ABC123XYZ", every: 1d }',
      ),
      ['4:26 groups[1].identifier: is the same as groups[0].identifier'],
    ],
    ['no schedule', groups(`{ ${a} }`), ['3:5 groups[0]: needs "every" or "cron", here or in defaults']],
    [
      'two schedules',
      groups(`{ ${a}, every: 1d, cron: "0 9 * * *" }`),
      ['3:5 groups[0]: has both "every" and "cron": remove one'],
    ],
    [
      'two default schedules',
      `${groups(`{ ${a} }`)}defaults: { every: 1d, cron: "0 9 * * *" }\n`,
      ['4:11 defaults: has both "every" and "cron": remove one'],
    ],
    [
      'a cron of four fields',
      groups(`{ ${a}, cron: "0 9 * *" }`),
      ['3:57 groups[0].cron: is not a cron expression: expected five fields (minute hour day month weekday), found 4'],
    ],
    [
      'a cron minute that does not exist',
      groups(`{ ${a}, cron: "61 9 * * *" }`),
      [
        '3:57 groups[0].cron: is not a cron expression: its minute "61" is invalid: expected 0 to 59, *, a list (1,2), a range (1-5) or a step (*/2)',
      ],
    ],
    [
      'a zone that does not exist',
      groups(`{ ${a}, every: 1d, timezone: Mars/Base }`),
      ['3:72 groups[0].timezone: expected an IANA time zone such as America/Sao_Paulo or UTC, found "Mars/Base"'],
    ],
    [
      'a window that is never open',
      groups(`{ ${a}, every: 1d, window: { from: "02:00", to: "02:00" } }`),
      ['3:70 groups[0].window: "from" and "to" are the same: the window is never open'],
    ],
    [
      'a window on no day',
      groups(`{ ${a}, every: 1d, window: { from: "02:00", to: "03:00", days: [] } }`),
      ['3:106 groups[0].window.days: name at least one day'],
    ],
    [
      'a day that does not exist',
      groups(`{ ${a}, every: 1d, window: { from: "02:00", to: "03:00", days: [mo] } }`),
      ['3:107 groups[0].window.days[0]: expected mon, tue, wed, thu, fri, sat, sun; found "mo"; did you mean "mon"?'],
    ],
    [
      'a time of day without quotes',
      groups(`{ ${a}, every: 1d, window: { from: 2, to: "03:00" } }`),
      ['3:78 groups[0].window.from: expected a time of day like "02:00", in quotes'],
    ],
    [
      'an unknown firstSeen',
      groups(`{ ${a}, every: 1d, firstSeen: rotated }`),
      ['3:73 groups[0].firstSeen: expected rotate, spread, wait; found "rotated"; did you mean "rotate"?'],
    ],
    [
      'an unknown instance',
      groups(`{ ${a}, every: 1d, instance: bott }`),
      ['3:72 groups[0].instance: no instance is named "bott"; did you mean "bot"?'],
    ],
    [
      'no instance among two',
      `instances: [{ name: x1, tokenEnv: T }, { name: x2, tokenEnv: U }]\ngroups: [{ ${a}, every: 1d }]\n`,
      ['2:10 groups[0]: needs "instance": one of x1, x2'],
    ],
    [
      'an identifier in defaults',
      `${head}defaults: { identifier: ABC123XYZ }\n`,
      ['3:13 defaults.identifier: unknown key "identifier"'],
    ],
    ['retries that shrink', `${head}retry: { baseDelay: 10m }\n`, ['3:8 retry: "baseDelay" is longer than "maxDelay"']],
    ['verify: on', `${head}verify: on\n`, ['3:9 verify: expected "off" or a map; found "on"']],
    [
      'a share without a percent sign',
      `${head}verify: { share: 0.1 }\n`,
      ['3:18 verify.share: expected a share from 0.1% to 100%, such as 10%; found 0.1'],
    ],
    [
      'a share of more than all',
      `${head}verify: { share: 101% }\n`,
      ['3:18 verify.share: expected a share from 0.1% to 100%, such as 10%; found 101%'],
    ],
    [
      'an unknown key of verify',
      `${head}verify: { evry: 1d }\n`,
      ['3:11 verify.evry: unknown key "evry"; did you mean "every"?'],
    ],
    ['no results queue', `${head}results: { queues: [] }\n`, ['3:20 results.queues: name at least one results queue']],
    [
      'a results queue of our own',
      `${head}results: { queues: [rotations-bot] }\n`,
      ['3:21 results.queues[0]: is a queue of the program itself'],
    ],
    [
      'ops pages',
      `${head}ops: { port: 94000, hots: x }\n`,
      [
        '3:14 ops.port: expected a whole number from 0 to 65535',
        '3:21 ops.hots: unknown key "hots"; did you mean "host"?',
      ],
    ],
    [
      'too much for the token',
      `instances: [{ name: bot, tokenEnv: T, rateLimit: { max: 12, reserve: 2 } }]\ngroups: [{ ${a}, every: 5s }]\n`,
      [
        '1:13 instances[0]: bot: 1 group needs 12.0 calls a minute; the share for scheduled work is 10.0 (12 less 2 in reserve, per 1m): raise "every" from 5s to at least 6s, or ask for a higher limit',
      ],
    ],
    [
      'too much for two instances of one token',
      `instances: [{ name: x1, tokenEnv: T, rateLimit: { max: 20 } }, { name: x2, tokenEnv: T, rateLimit: { max: 20 } }]\ngroups: [{ ${a}, every: 10s, instance: x1 }, { id: b, identifier: ABC123XYZ, every: 10s, instance: x2 }]\n`,
      [
        '1:13 instances[0]: x1, x2: 2 groups need 12.0 calls a minute; the share for scheduled work is 10.0 (20 less 10 in reserve, per 1m): raise "every" from 10s to at least 12s, or ask for a higher limit',
      ],
    ],
    [
      'too much for the pace',
      `instances: [{ name: bot, tokenEnv: T, pace: 30s }]\ngroups: [{ ${a}, every: 10s }]\n`,
      [
        '1:45 instances[0].pace: bot: 1 group needs 6.0 resets a minute; a pace of 30s allows 2.0: raise "every" from 10s to at least 30s',
      ],
    ],
    [
      'many things at once, in the order of the file',
      'api: { timeout: 1 }\ninstances: [{ name: bot, tokenEnv: T }]\ngroups:\n  - { id: A, identifier: ABC123XYZ, every: 1d }\n  - { id: b, identifier: ABC123XYZ, evry: 1d }\nretry: { attempts: 0 }\n',
      [
        '1:17 api.timeout: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found 1: add a unit, as in 1s or 1m',
        '4:11 groups[0].id: expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit',
        '5:26 groups[1].identifier: is the same as groups[0].identifier',
        '5:37 groups[1].evry: unknown key "evry"; did you mean "every"?',
        '6:20 retry.attempts: expected a whole number from 1 to 100',
      ],
    ],
  ];
  it.each(table)('%s', (_name, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it('without ever repeating a token', () => {
    const secret = 'aHR0cHM6Ly9zZWNyZXQ';
    const text = `instances: [{ name: bot, tokenEnv: "${secret}-x", token: ${secret} }]\n${head.split('\n')[1]}`;
    expect(problems(text).join('\n')).not.toContain(secret);
  });
});

describe('a good file', () => {
  function config(text: string) {
    const parsed = parseConfig(text, file);
    if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
    return parsed.config;
  }

  it('has the defaults of the contract', () => {
    const group = {
      id: 'vip',
      identifier: { kind: 'jid', jid: '120363406289005073@g.us' },
      title: null,
      instance: 'bot',
      schedule: { kind: 'every', everyMs: 86_400_000, timezone: 'UTC', window: null },
      firstSeen: 'spread',
      enabled: true,
    };
    expect(config(head)).toEqual({
      file,
      hash: expect.stringMatching(/^[0-9a-f]{12}$/),
      included: [],
      api: { baseUrl: 'https://ryzeapi.cloud', timeoutMs: 30_000, settleTimeMs: 90_000 },
      instances: [
        {
          name: 'bot',
          token: { name: 'token', from: 'env', variable: 'TOKEN' },
          rateLimit: { max: 100, perMs: 60_000, reserve: 10 },
          concurrency: 5,
          paceMs: 0,
        },
      ],
      groups: [group],
      groupsById: new Map([['vip', group]]),
      groupsByJid: new Map([['120363406289005073@g.us', group]]),
      retry: { attempts: 6, baseDelayMs: 2_000, maxDelayMs: 300_000 },
      verify: { everyMs: 3_600_000, share: 0.1 },
      results: { queues: ['invite-links'] },
      redis: { prefix: 'bull', servers: null },
      ops: { host: '127.0.0.1', port: 9400 },
      join: { host: '127.0.0.1', port: 9401, publicUrl: null, metrics: null },
      shutdownTimeoutMs: 40_000,
    });
  });

  it('listens on the configured address, or not at all', () => {
    expect(config(`${head}ops: { host: "::1", port: 0 }\n`).ops).toEqual({ host: '::1', port: 0 });
    expect(config(`${head}ops: off\n`).ops).toBeNull();
  });

  it('lets a group replace a default schedule of either kind', () => {
    const [one, two] = config(`
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 7d, timezone: America/Sao_Paulo, window: { from: "22:00", to: "04:30", days: [fri] } }
groups:
  - { id: a, identifier: ABC123XYZ, cron: "0 9 * * MON", timezone: Europe/Berlin }
  - { id: b, identifier: "https://chat.whatsapp.com/DEF456UVW" }
`).groups;
    const window = { fromMinute: 1_320, toMinute: 270, days: ['fri'] };
    expect(one?.schedule).toEqual({ kind: 'cron', cron: '0 9 * * MON', timezone: 'Europe/Berlin', window });
    expect(two?.schedule).toEqual({ kind: 'every', everyMs: 604_800_000, timezone: 'America/Sao_Paulo', window });
    expect(two?.identifier).toEqual({ kind: 'code', code: 'DEF456UVW' });
  });

  it('turns verification off, and takes a loopback address without TLS', () => {
    const read = config(`${head}verify: off\nops: off\napi: { baseUrl: "http://127.0.0.1:8080/" }\n`);
    expect(read.verify).toBeNull();
    expect(read.api.baseUrl).toBe('http://127.0.0.1:8080');
  });

  it('resolves a token file beside the configuration file', () => {
    const [instance] = config(head.replace('tokenEnv: TOKEN', 'tokenFile: secrets/token')).instances;
    expect(instance?.token).toEqual({ name: 'token', from: 'file', path: '/etc/secrets/token' });
  });

  it('cannot be changed', () => {
    const read = config(head);
    expect(() => {
      (read.groups as unknown[]).push({});
    }).toThrow(TypeError);
    expect(Object.isFrozen(read.instances[0]?.rateLimit)).toBe(true);
  });
});
