import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPlainly } from '../../src/config/plainYaml.ts';
import { readYaml } from '../../src/config/yaml.ts';

/** What the YAML parser reads; null if it finds a fault. */
function wholly(text: string) {
  const { faults, values } = readYaml(text);
  return faults.length === 0 ? values : null;
}

/** The plain reader gives the same values as the parser, or none. */
function agrees(text: string) {
  const read = readPlainly(text);
  if (read !== null) expect(read, JSON.stringify(text)).toEqual(wholly(text));
  return read !== null;
}

const head = 'instances: [{ name: bot, tokenEnv: T }] # one\ndefaults:\n  every: 7d\n';

describe('reads plainly, like the YAML parser', () => {
  it.each([
    ['a key on a line', 'groups:\n  - id: a\n    identifier: 120363406289005073@g.us\n    enabled: false\n'],
    [
      'one line a group',
      'groups:\n  - { id: a, identifier: 120363406289005073@g.us, every: 24h }\n  - {id: b,title: c}\n',
    ],
    ['a list that is not indented', 'groups:\n- id: a\n  every: 1d\n- id: b\nretry: { attempts: 3 }\n'],
    ['more blanks than needed', 'groups:   \n    -   id:   a   \n        every:  1d   \n    -   id: b\n'],
    ['quotes', `groups:\n  - id: "a"\n    title: 'Quote " and # and: more'\n    cron: "0 9 * * MON"\n`],
    ['links', 'groups:\n  - id: a\n    identifier: https://chat.whatsapp.com/ABC123XYZ?mode=x # a link\n'],
    ['words that are no booleans', 'groups:\n  - id: yes\n    title: off\n    every: no\n'],
    ['titles', 'groups:\n  - title: Curso de Verão 2026, (turma B) *novo*\n  - { title: Größe 日本 }\n'],
    ['text that looks like numbers', 'groups:\n  - id: 1a\n    every: 5m\n    title: 0x\n'],
    ['numbers', 'groups:\n  - id: 12\n    title: 1e5\n    every: 0x1f\n  - { id: 0o17, title: .5 }\n'],
    ['null', 'groups:\n  - id: null\n    title: ~\n    every:\n  - { id: Null }\n'],
    ['booleans', 'groups:\n  - enabled: true\n    title: True\n    id: FALSE\n'],
    [
      'lists and maps',
      'groups:\n  - id: a\n    window: { from: "02:00", to: 05:00, days: [mon, tue] }\n    title: [a, b]\n',
    ],
    [
      'maps below a key',
      'groups:\n  - id: a\n    window:\n      from: "02:00"\n      days:\n        - mon\n    every: 1d\n',
    ],
    ['maps in braces', 'groups:\n  - { id: a, window: { from: "02:00", days: [mon, tue] }, every: 1d } # one\n'],
    [
      'comments',
      '# a\ngroups: # b\n  # c\n  - id: a # d\n  # e\n\n# f\n    every: 1d\n   # g\n  - { id: b } # h\n\n# i\n',
    ],
    [
      'long text',
      'groups:\n  - id: a\n    title: one\n      two\n    every: 1d\n  - id: |\n      b\n    title: >\n      c\n  - { id: a,\n      b: c }\n',
    ],
    ['a section after the list', 'groups:\n  - id: a\nretry:\n  attempts: 5\n# the end\n'],
    [
      'text that keeps its empty lines',
      'groups:\n  - id: |+\n      a\n\n\n  - id:\n      >+\n      b\n\n  - id: |\n      c\n\n\n',
    ],
    ['a blank that no parser takes off', 'groups:\n  - id: a\u1680\n    title: b\u1680 # c\n  - { id: a\u1680 }\n'],
    ['keys in quotes', 'groups:\n  - "id": a\n    every: 1d\n'],
    ['a list that is a key', 'groups:\n  - id: a\n    title: [a]: b\n'],
    ['no line end', 'groups:\n  - id: a\n    every: 1d'],
  ])('%s', (_name, text) => {
    expect(readPlainly(text)).not.toBeNull();
    expect(agrees(text)).toBe(true);
    expect(agrees(head + text)).toBe(true);
    expect(agrees((head + text).replaceAll('\n', '\r\n'))).toBe(true);
  });
});

describe('leaves to the YAML parser', () => {
  it.each([
    ['anchors', 'defaults: &d { every: 1d }\ngroups:\n  - &x\n    id: a\n  - *x\n'],
    ['an anchor that replaces another', 'defaults: &d a\ngroups:\n  - id: &d b\nretry: *d\n'],
    ['an alias', 'defaults: { cron: &c "0 9 * * *" }\ngroups:\n  - id: a\n    cron: *c\n'],
    ['tags', 'groups:\n  - id: !secret a\n'],
    ['a key that comes twice', 'groups:\n  - id: a\n    id: b\n'],
    ['a key twice in braces', 'groups:\n  - { id: a, id: b }\n'],
    ['a section that comes twice', 'groups:\n  - id: a\ngroups:\n  - id: b\n'],
    ['a section before the list that comes twice', 'retry: {}\ngroups:\n  - id: a\nretry: {}\n'],
    ['two documents', 'groups:\n  - id: a\n---\ngroups:\n  - id: b\n'],
    ['another version of YAML', '%YAML 1.1\n---\ngroups:\n  - id: yes\n'],
    ['a map in braces around it', '{\ngroups:\n  - id: a\n}\n'],
    ['text in quotes around it', 'a: "\ngroups:\n  - id: a\n"\n'],
    ['text around it', '|\ngroups:\n  - id: a\n'],
    ['a list on the same line', 'groups: [{ id: a }]\n'],
    ['a map', 'groups:\n  a: b\n'],
    ['an empty list', 'groups:\n'],
    ['a missing bracket', 'groups:\n  - { id: a\n  - { id: b }\n'],
    ['a missing quote', 'groups:\n  - id: "a\n  - id: b"\n'],
    ['wrong indentation', 'groups:\n  - id: a\n     every: 1d\n'],
    ['an entry at another place', 'groups:\n    - id: a\n  - id: b\n'],
    ['two keys on a line', 'groups:\n  - id: a: b\n'],
    ['tabs', 'groups:\n  - id:\ta\n'],
    ['a lone carriage return', 'groups:\n  - id: a\r    every: 1d\n'],
    ['a merged map', 'groups:\n  - <<: *d\n    id: a\n'],
  ])('%s', (_name, text) => {
    expect(readPlainly(text)).toBeNull();
  });
});

it('agrees with the YAML parser about any list of groups', () => {
  const odd = fc.constantFrom(
    ...[
      'a',
      'vip-1',
      '120363406289005073@g.us',
      'https://chat.whatsapp.com/ABC',
      '24h',
      '7',
      '1e3',
      '0x1F',
      '.5',
      '-1',
    ],
    ...[
      'true',
      'False',
      'null',
      '~',
      'yes',
      '"quoted"',
      "'it''s'",
      '"\\n"',
      '"a',
      "b'",
      'a b',
      'a: b',
      'a:b',
      'a:',
      ':a',
    ],
    ...[
      'a #b',
      'a#b',
      '# c',
      '*a',
      '&a b',
      '!t a',
      '@a',
      '%a',
      '{ x: 1 }',
      '[a, b]',
      '{ x: [1] }',
      '[',
      '}',
      '{ a',
      'a,b',
    ],
    ...[
      'a, b',
      '- a',
      '-',
      '|',
      '|+',
      '>-',
      '[a]: b',
      '---',
      '...',
      '?',
      '? a',
      '0 9 * * MON',
      '"0 9 * * MON"',
      'é',
      '日本',
      '\u00a0',
      '\ufeff',
      '',
    ],
  );
  const word = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom('a', 'b-1', '"c d"', 'é f', '24h') },
    { weight: 1, arbitrary: odd },
  );
  const key = fc.constantFrom('id', 'every', 'title', 'window', 'cron', 'timezone', 'null', '"id"', 'a b', '<<', '? a');
  const blanks = fc.constantFrom('', ' ', '  ', '   ', '    ', '      ', '\t');
  const pair = fc.tuple(key, fc.constantFrom(': ', ': ', ': ', ':', ' : ', ':  '), word).map((parts) => parts.join(''));
  const line = fc.oneof(
    { weight: 6, arbitrary: pair.map((text) => `  - ${text}`) },
    { weight: 6, arbitrary: pair.map((text) => `    ${text}`) },
    { weight: 3, arbitrary: fc.array(pair, { maxLength: 3 }).map((pairs) => `  - { ${pairs.join(', ')} }`) },
    { weight: 2, arbitrary: fc.tuple(blanks, fc.oneof(pair, word)).map((parts) => parts.join('')) },
    { weight: 1, arbitrary: pair.map((text) => text) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('groups:', '  # comment', '# comment', '', '- a', '  -', '  - a', '  - - a'),
    },
  );
  const some = fc.array(line, { maxLength: 2 });
  let plainly = 0;
  fc.assert(
    fc.property(
      some,
      fc.array(line, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('\n', '\r\n'),
      (before, lines, end) => {
        if (agrees([...before, 'groups:', ...lines].join(end))) plainly++;
      },
    ),
    { numRuns: 1_500 },
  );
  expect(plainly).toBeGreaterThan(40);
});
