import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderFile } from '../../src/config/newFile.ts';
import { readPlainly } from '../../src/config/plainYaml.ts';
import { readSimply } from '../../src/config/simpleYaml.ts';
import { readYaml } from '../../src/config/yaml.ts';

/** What the YAML parser reads; null if it finds a fault. */
function wholly(text: string) {
  const { faults, values } = readYaml(text);
  return faults.length === 0 ? values : null;
}

/** The simple reader gives the same values as the parser, or none. */
function agrees(text: string) {
  const read = readSimply(text);
  if (read !== null) expect(read, JSON.stringify(text)).toEqual(wholly(text));
  return read !== null;
}

it('reads the example file and those that init writes', () => {
  const groups = [{ jid: '120363406289005073@g.us', name: 'VIP: customers' }];
  const common = { schema: 'rotation.schema.json', instance: 'bot', tokenEnv: 'TOKEN', limit: 60 };
  expect(agrees(readFileSync('config/rotation.example.yaml', 'utf8'))).toBe(true);
  expect(agrees(renderFile({ ...common, baseUrl: null, groups: [] }))).toBe(true);
  expect(agrees(renderFile({ ...common, baseUrl: 'http://localhost:3000', groups }))).toBe(true);
});

describe('reads simply, like the YAML parser', () => {
  it.each([
    ['maps below maps', 'retry:\n  attempts: 3\n  # a\n\n  maxDelay: 5m # b\nops:\n    port: 0\n'],
    ['lists', 'a:\n- b\n- c\nd:\n  - id: e\n    f: 12\n  -   id: g\n      h:\n        - i\n'],
    ['brackets', 'a: { b: [c, "d, e", [1, 2]], f: {}, g: [ ], } # h\ni: [{ j: k }, l]\n'],
    ['brackets alone', '{ a: b }\n# c\n'],
    ['quotes', `a: "b # c"\nd: 'e: f'\ng: "" # h\n`],
    ['nothing', 'a:\nb: # c\nd:\n  e:\nf: null\n'],
    ['words and numbers', 'a: yes\nb: true\nc: 0\nd: 100\ne: 5m\nf: false\n'],
    ['an indented file', '  a: b\n  c:\n    d: e'],
  ])('%s', (_name, text) => {
    expect(agrees(text)).toBe(true);
    expect(agrees(text.replaceAll('\n', '\r\n'))).toBe(true);
  });
});

describe('leaves to the YAML parser', () => {
  it.each([
    ['nothing', ''],
    ['text on two lines', 'a: b\n  c\n'],
    ['text in quotes on two lines', 'a: "b\n  c"\n'],
    ['blocks of text', 'a: |\n  b\n'],
    ['brackets on two lines', 'a: [b,\n  c]\n'],
    ['a key that comes twice', 'a: b\na: c\n'],
    ['a key that comes twice in brackets', 'a: { b: c, b: d }\n'],
    ['two documents', 'a: b\n---\na: c\n'],
    ['anchors, aliases and tags', 'a: &b c\nd: *b\ne: !f g\n'],
    ['fractions and other bases', 'a: [1.5, 0x1f, 1e3, 007]\n'],
    ['null in other words', 'a: ~\nb: Null\n'],
    ['wrong indentation', 'a:\n    b: c\n  d: e\n'],
    ['a tab', 'a:\tb\n'],
    ['a lone carriage return', 'a: b\rc: d\n'],
    ['a directive', '%YAML 1.1\n---\na: yes\n'],
    ['deep nesting', `a: ${'['.repeat(5_000)}`],
    ['a byte order mark', '\ufeffa: b\n'],
  ])('%s', (_name, text) => {
    expect(readSimply(text)).toBeNull();
  });
});

it.each([
  ['text', `a: ${'b'.repeat(8e6)}`],
  ['text with colons', `a: ${'b:'.repeat(4e6)}c`],
  ['words', `a: ${'b '.repeat(4e6)}c`],
  ['text in brackets', `a: { b: [${'c'.repeat(8e6)}] }`],
  ['quoted text', `a: "${'b'.repeat(8e6)}"`],
])('leaves very long %s to the YAML parser', (_name, text) => {
  expect([readSimply(text), readPlainly(`groups:\n  - ${text}\n`)]).toEqual([null, null]);
});

it('agrees with the YAML parser about any text', () => {
  const word = fc.constantFrom(
    'a',
    'b-1',
    '"c d"',
    "'e'",
    'é f',
    '24h',
    '7',
    '007',
    '1e3',
    'true',
    'False',
    'null',
    '~',
    'yes',
    'a, b',
    'a:b',
    'a #b',
    'a#b',
    '# c',
    '*a',
    '&a',
    '!t a',
    '{ x: 1 }',
    '[a, b]',
    '{ x: [1] }',
    '{}',
    '[]',
    '[',
    '}',
    '[a]: b',
    '',
    '"a',
    "b'",
    "'it''s'",
    '"\\n"',
    'a: b',
    'a:',
    ':a',
    '-',
    '- a',
    '|',
    '>-',
    '---',
    '...',
    '?',
    '\u00a0',
    '\u2028',
  );
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'null', '"a"', 'a b', '<<', '? a', '9');
  const colon = fc.constantFrom(': ', ': ', ': ', ':', ' : ', ':  ');
  const pair = fc.tuple(key, colon, word).map((parts) => parts.join(''));
  const brackets = fc
    .tuple(
      fc.constantFrom('{', '{ ', '['),
      fc.array(fc.oneof(pair, word), { maxLength: 3 }),
      fc.constantFrom('}', ' }', ']'),
    )
    .map(([open, inner, close]) => `${open}${inner.join(', ')}${close}`);
  const value = fc.oneof(
    pair,
    pair,
    word,
    brackets,
    key.map((text) => `${text}:`),
    fc.tuple(key, brackets).map((parts) => parts.join(': ')),
  );
  const line = fc.tuple(
    fc.constantFrom('', '', '  ', '  ', '    ', ' '),
    fc.constantFrom('', '', '', '- ', '-   '),
    value,
  );
  let simply = 0;
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 6 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
      if (agrees(lines.map((parts) => parts.join('')).join(end))) simply++;
    }),
    { numRuns: 4_000 },
  );
  expect(simply).toBeGreaterThan(60);
});
