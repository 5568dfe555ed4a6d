/** Reports of several mistakes at a time: complete, without repetition, in order, and without secrets. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problems.ts';

function problems(text: string): string[] {
  const parsed = parseConfig(text, '/etc/rotation.yaml');
  return parsed.ok ? [] : parsed.problems.map(formatProblem).map((line) => line.replace('/etc/rotation.yaml:', ''));
}

const instances = 'instances: [{ name: bot, tokenEnv: TOKEN }]\n';
const group = (id: string, rest: string) => `  - { id: ${id}, ${rest} }\n`;
const jid = (n: number) => `identifier: 12036340628900507${n}@g.us`;
const good = `${instances}groups:\n${group('a', `${jid(1)}, every: 1d`)}`;

describe('misleading YAML', () => {
  const table: [string, string, string[]][] = [
    ['two documents', `${good}---\na: 1\n`, ['4:1 the file must contain one document: remove the second "---"']],
    [
      'a quote that is not closed',
      `${good}redis: { prefix: "x }\n`,
      ['5:1 not valid YAML: a quote above is not closed'],
    ],
    [
      'a map on the line of a key',
      'api: timeout: 3s\n',
      ['1:6 not valid YAML: two "key: value" on one line; put text that holds ": " in quotes'],
    ],
    [
      'indentation that goes back half-way',
      'api:\n    timeout: 3s\n  settleTime: 9s\n',
      ['3:1 not valid YAML: this line is not indented like its neighbours, or a bracket above is not closed'],
    ],
    ['a reserved character', 'api: @x\n', ['1:6 not valid YAML: text that begins with @ or ` must be in quotes']],
    ['a line without a key', `${instances}groups\n`, ['2:1 not valid YAML: expected "key: value"']],
    ['a list among keys, reported once', '- a\nb: c\n', ['2:1 not valid YAML: this does not belong here']],
    [
      'an alias without an anchor',
      `${good}redis: *x\n`,
      ['4:8 not valid YAML: "*" here names no anchor (&) before it'],
    ],
    [
      'a tag',
      `${good}redis: { prefix: !x y }\n`,
      ['4:18 tags (!name) are not supported here: put text that begins with "!" in quotes'],
    ],
    [
      'a merged map',
      `${instances}groups:\n  - id: a\n    ${jid(1)}\n    every: 1d\n    <<: {}\n`,
      ['6:5 groups[0].<<: merging maps with "<<" is not supported: use "defaults"'],
    ],
    ...['- '.repeat(2_000), '['.repeat(200_000), '{a: '.repeat(50_000), '? '.repeat(2_000)].map(
      (deep): [string, string, string[]] => [
        `nested without end by ${deep.slice(0, 6)}`,
        `groups:\n  ${deep}\n`,
        [expect.stringMatching(/^2:\d+ lists and maps are nested more than 100 deep: a bracket before it may not be/)],
      ],
    ),
    ['only comments', '# nothing\n', ['1:1 expected a map of settings, found nothing']],
    ['one word', 'rotation\n', ['1:1 expected a map of settings, found text']],
    [
      'a key given twice, and what else is wrong',
      `${good}retry: {}\nretry: { attempts: many }\n`,
      ['5:1 "retry" appears twice', '5:20 retry.attempts: expected a whole number from 1 to 100'],
    ],
    [
      'a key left empty, at the key',
      `${instances}groups:\n  - id: a\n    ${jid(1)}\n    every:\n`,
      ['5:5 groups[0].every: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found nothing'],
    ],
  ];
  it.each(table)('%s', (_name, text, expected) => expect(problems(text)).toEqual(expected));

  it('an anchor may serve many groups', () => {
    const groups = Array.from({ length: 300 }, (_, i) => group(`g${i}`, `identifier: "ABCDEFG${i}", window: *night`));
    const night = 'defaults: { every: 7d, window: &night { from: "02:00", to: "05:00" } }\n';
    expect(problems(`${instances}${night}groups:\n${groups.join('')}`)).toEqual([]);
  });

  it('aliases of aliases that blow up are refused', () => {
    const bomb = Array.from(
      { length: 9 },
      (_, i) =>
        `  - &a${i + 1} [${Array(9)
          .fill(i === 0 ? 'x' : `*a${i}`)
          .join(', ')}]\n`,
    );
    expect(problems(`${instances}groups:\n${bomb.join('')}`)).toEqual([
      '1:1 too many aliases (*name) of aliases: write them out',
    ]);
  });

  it('Windows line ends and a byte order mark are no mistake', () => {
    expect(problems(`\ufeff${good.replaceAll('\n', '\r\n')}`)).toEqual([]);
  });
});

describe('no problem hides another', () => {
  const table: [string, string, string[]][] = [
    [
      'duplicates are found among broken groups',
      `${instances}groups:\n${group('a', `${jid(1)}, every: soon`)}${group('a', `${jid(1)}, every: 1d, zebra: 1`)}`,
      [
        '3:58 groups[0].every: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found "soon"',
        '4:11 groups[1].id: is the same as groups[0].id',
        '4:26 groups[1].identifier: is the same as groups[0].identifier',
        '4:62 groups[1].zebra: unknown key "zebra"',
      ],
    ],
    [
      'the name of a broken instance is known',
      `instances: [{ name: bot, tokenEnv: T, concurrency: many }]\ngroups:\n${group('a', `${jid(1)}, every: 1d, instance: bot`)}`,
      ['1:52 instances[0].concurrency: expected a whole number from 1 to 1000'],
    ],
    [
      'checks of two keys run beside a third that is wrong',
      `${good}retry: { attempts: 0, baseDelay: 10m, maxDelay: 1m }\n`,
      [
        '4:8 retry: "baseDelay" is longer than "maxDelay"',
        '4:20 retry.attempts: expected a whole number from 1 to 100',
      ],
    ],
    [
      'duplicates are found beside a fraction',
      `instances: [{ name: bot, tokenEnv: T, concurrency: 1.5 }]\ngroups:\n${group('a', `${jid(1)}, every: 1d`)}${group('a', `${jid(2)}, every: 1d`)}`,
      [
        '1:52 instances[0].concurrency: expected a whole number from 1 to 1000',
        '4:11 groups[1].id: is the same as groups[0].id',
      ],
    ],
    [
      'one group in several forms of its identifier',
      `${instances}defaults: { every: 1d }\ngroups: [${[
        '{ id: a, identifier: ABC123XYZ }',
        '{ id: b, identifier: "HTTPS://www.chat.whatsapp.com/invite/ABC123XYZ/?x=1#y" }',
        '{ id: c, identifier: 120363406289005071@g.us }',
        '{ id: d, identifier: "\u200e<120363406289005071:3@G.US>\u00a0" }',
      ].join(', ')}]`,
      [
        '3:65 groups[1].identifier: is the same as groups[0].identifier',
        '3:193 groups[3].identifier: is the same as groups[2].identifier',
      ],
    ],
    [
      'an unknown default instance is reported once, not for every group',
      `${instances}defaults: { instance: bott }\ngroups:\n${group('a', `${jid(1)}, every: 1d`)}${group('b', `${jid(2)}, every: 1d`)}`,
      ['2:23 defaults.instance: no instance is named "bott"; did you mean "bot"?'],
    ],
    [
      'a misspelt key is not reported as missing too',
      `instances: [{ name: bot, token_env: T }]\ngroups:\n${group('a', `idntifier: "x", evrey: 1d`)}`,
      [
        '1:26 instances[0].token_env: unknown key "token_env"; did you mean "tokenEnv"?',
        '3:5 groups[0].identifier: is required',
        '3:14 groups[0].idntifier: unknown key "idntifier"; did you mean "identifier"?',
        '3:30 groups[0].evrey: unknown key "evrey"; did you mean "every"?',
      ],
    ],
    [
      'too much is found beside a typing error',
      `instances: [{ name: bot, tokenEnv: T, rateLimit: { max: 12, reserve: 2 } }]\ngroups:\n${group('a', `${jid(1)}, every: 5s`)}verfy: off\n`,
      [
        '1:13 instances[0]: bot: 1 group needs 12.0 calls a minute; the share for scheduled work is 10.0 (12 less 2 in reserve, per 1m): raise "every" from 5s to at least 6s, or ask for a higher limit',
        '4:1 verfy: unknown key "verfy"; did you mean "verify"?',
      ],
    ],
    [
      'a zone with its nearest',
      `${good}defaults: { timezone: Europe/Berln }\n`,
      [
        '4:23 defaults.timezone: expected an IANA time zone such as America/Sao_Paulo or UTC, found "Europe/Berln"; did you mean "Europe/Berlin"?',
      ],
    ],
    [
      'a zone by its city alone',
      `${good}defaults: { timezone: SaoPaulo }\n`,
      [
        '4:23 defaults.timezone: expected an IANA time zone such as America/Sao_Paulo or UTC, found "SaoPaulo"; did you mean "America/Sao_Paulo"?',
      ],
    ],
    [
      'an offset instead of a zone',
      `${good}defaults: { timezone: "+03:00" }\n`,
      [
        '4:23 defaults.timezone: expected an IANA time zone such as America/Sao_Paulo or UTC, found "+03:00": an offset does not follow clock changes',
      ],
    ],
    ['a window left empty', `${good}defaults: { window: }\n`, ['4:13 defaults.window: expected a map, found nothing']],
    [
      'a day twice',
      `${good}defaults: { window: { from: "01:00", to: "02:00", days: [mon, mon] } }\n`,
      ['4:63 defaults.window.days[1]: "mon" appears twice'],
    ],
    ['a queue twice', `${good}results: { queues: [x, x] }\n`, ['4:24 results.queues[1]: "x" appears twice']],
    [
      'a queue BullMQ cannot have',
      `${good}results: { queues: ["a:b"] }\n`,
      ['4:21 results.queues[0]: expected a queue name of 1 to 100 letters, digits, "_", "." or "-"'],
    ],
    [
      'a host that only looks like loopback',
      `${good}api: { baseUrl: http://127.0.0.1.example.com }\n`,
      ['4:17 api.baseUrl: http would send the token in the clear: use https (http is for loopback hosts only)'],
    ],
    [
      'a query in the address',
      `${good}api: { baseUrl: "https://ryzeapi.cloud/?a=b" }\n`,
      ['4:17 api.baseUrl: must not contain a query or fragment'],
    ],
    [
      'a Redis database that is not a number',
      `${good}redis: { url: redis://localhost/main }\n`,
      ['4:15 redis.url: has something other than the number of a database after the host, as in redis://host:6379/0'],
    ],
  ];
  it.each(table)('%s', (_name, text, expected) => expect(problems(text)).toEqual(expected));
});

describe('no secret is repeated', () => {
  const secret = 'Zx81c0ffee5ecret4711ABCDEFGHIJKLMN';
  const table: [string, string][] = [
    ['a token as the name of a variable', `instances: [{ name: bot, tokenEnv: ${secret} }]\ngroups: []\n`],
    ['a token in capitals', `instances: [{ name: bot, tokenEnv: ${secret.toUpperCase()} }]\ngroups: []\n`],
    ['a token under a key of its own', `instances: [{ name: bot, token: ${secret} }]\ngroups: []\n`],
    ['a token with no key', `instances: [${secret}]\ngroups: []\n`],
    ['a token as an alias', `instances: [{ name: bot, tokenEnv: *${secret} }]\n`],
    ['a token in a list', `instances: [{ name: bot, tokenEnv: [${secret}] }]\ngroups: []\n`],
    ['a password of Redis', `${good}redis: { url: "http://:${secret}@localhost" }\n`],
    ['a password under a key of its own', `${good}redis: { url: "redis://h", password: ${secret} }\n`],
    ['a password as the name of a variable', `${good}redis: { url: "redis://h", passwordEnv: ${secret} }\n`],
    ['a password in an address without its key', `${good}redis: "redis://:${secret}@localhost"\n`],
    ['a password in an address as a key', `${good}redis: { "redis://:${secret}@localhost" }\n`],
    ['a password in the address', `${good}api: { baseUrl: "https://u:${secret}@ryzeapi.cloud" }\n`],
    ['a code with no key', `${instances}groups: [${secret}]\n`],
    [
      'a link as two queues',
      `${good}results: { queues: [chat.whatsapp.com/${secret}, chat.whatsapp.com/${secret}] }\n`,
    ],
    ['a link as a key', `${instances}groups: [{ https://chat.whatsapp.com/${secret}: x }]\n`],
    [
      'a code of two groups',
      `${instances}groups:\n${group('a', `identifier: ${secret}, every: 1d`)}${group('b', `identifier: ${secret}, every: 1d`)}`,
    ],
    ['a code where YAML breaks', `${instances}groups:\n  - identifier: ${secret}: ${secret}\n`],
  ];
  it.each(table)('%s', (_name, text) => {
    const report = problems(text).join('\n');
    expect(report).not.toBe('');
    expect(report.toLowerCase()).not.toContain(secret.toLowerCase());
  });
});

it('leaves messages to the problems: nothing else is written about the text of a file', () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  onTestFinished(() => warn.mockRestore());
  problems(`${good}? [https://chat.whatsapp.com/ABCDEFGHIJ]\n: 1\n`);
  expect(warn).not.toHaveBeenCalled();
});
