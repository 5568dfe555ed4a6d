/**
 * Reads a file whose list `groups` is written plainly, ten times as fast as a whole YAML parser: each key on a line of
 * its own, or each group as one `{ key: value }`. It reads only what it fully understands. An entry written in any other
 * way is parsed as YAML by itself, and so is the rest of the file. It returns null if that may give other values than
 * parsing the whole file, or if the file is not valid.
 */
import { isDeepStrictEqual } from 'node:util';
import { Document, type ScalarTag } from 'yaml';
import { readYaml } from './yaml.ts';

type Entry = Record<string, unknown>;
/** What stands for a value, or an entry, that is not written plainly. */
const notPlain = Symbol('not plain');

/** Text, which null and booleans are not. */
const key = '(?!(?:[Nn]ull|NULL|[Tt]rue|TRUE|[Ff]alse|FALSE):)([A-Za-z][A-Za-z0-9]{0,40})';
/** Letters beyond ASCII, without blanks and invisible characters. */
const letters = '\\u00c0-\\u1fff\\u3040-\\ud7ff';
/** Ends without blanks. In a list or map in brackets, a comma ends plain text. */
const plain = (more: string) => {
  const after = `A-Za-z0-9${letters}@._/+*()${more}\\-`;
  return `[A-Za-z0-9${letters}](?:[${after}]|:(?=[A-Za-z0-9/])| +(?=[${after}:]))*`;
};
const values = (more: string) => `(?:(${plain(more)})|"([^"\\\\\\x00-\\x1f]*)"|'([^'\\x00-\\x1f]*)')`;
const comment = ' *(?:(?<= )#.*)?$';

const linePattern = new RegExp(`${key}:(?: +(?:${values(',')}|([{[].*)))?${comment}`, 'y');
const pairPattern = new RegExp(
  ` *${key}: +(?:${values('')}|(\\{[^{}[\\]]*(?:\\[[^{}[\\]]*\\][^{}[\\]]*)*\\})) *([,}])`,
  'y',
);
const endPattern = new RegExp(comment, 'y');
const nothing = /^ *(?:#.*)?$/;
/** A list or map in brackets that is the key of a map. */
const isKey = /[\]}] *:/;
/** Text in a block may go on in the empty lines after it. */
const mayKeepLines = /[|>]/;

/** The parser's own rules of what is a number, a boolean or null. */
const tags = new Document().schema?.tags as readonly Partial<ScalarTag>[] | undefined;
const resolved = (tags ?? []).flatMap(({ default: isDefault, test }) => (isDefault === true && test ? [test] : []));

export function readPlainly(text: string): { readonly root: unknown } | null {
  // A directive changes what values mean. A tab or a lone carriage return is rarely meant.
  if (/[\t\r]|^%/m.test(text)) return null;
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith('groups:'));
  if (start === -1 || !/^groups: *(?:#.*)?$/.test(lines[start] ?? '')) return null;
  const first = lines.findIndex((line, i) => i > start && !nothing.test(line));
  const dash = /^( *)- /.exec(lines[first] ?? '')?.[1];
  if (dash === undefined) return null;
  const list = readEntries(lines, first, `${dash}- `);
  if (list === null) return null;
  // The list becomes a short one of the same form, so that it may stand in the same places.
  const around = [...lines.slice(0, start + 1), `${dash}- 0`, ...lines.slice(list.end)].join('\n');
  const { faults, values } = readYaml(around);
  const root = values?.root as Entry | undefined;
  if (faults.length > 0 || !root || !Object.hasOwn(root, 'groups') || !isDeepStrictEqual(root.groups, [0])) return null;
  return { root: { ...root, groups: list.entries } };
}

/** The entries that begin with `dash`, and the line after the list. Null: one of them is not valid on its own. */
function readEntries(
  lines: readonly string[],
  first: number,
  dash: string,
): { entries: unknown[]; end: number } | null {
  const nested = memoized(readAlone);
  const entries: unknown[] = [];
  let from = first;
  while (lines[from]?.startsWith(dash)) {
    let to = from + 1;
    while (to < lines.length && isWithin(lines[to] ?? '', dash)) to++;
    const entry = readEntry(lines, from, to, dash.length, nested);
    const value = entry === notPlain ? readAlone(textOf(lines, from, to)) : [entry];
    if (!Array.isArray(value) || value.length !== 1) return null;
    entries.push(value[0]);
    from = to;
  }
  return { entries, end: from };
}

/** With the line end, which may be part of a value. */
function textOf(lines: readonly string[], from: number, to: number): string {
  return `${lines.slice(from, to).join('\n')}${to < lines.length ? '\n' : ''}`;
}

/** Whether a line belongs to the entry above it. */
function isWithin(line: string, dash: string): boolean {
  if (line.startsWith(dash)) return false;
  return line === '' || line.startsWith(' ') || line.startsWith('#');
}

type Nested = (text: string) => unknown;

function readEntry(lines: readonly string[], from: number, to: number, column: number, nested: Nested) {
  const line = lines[from] ?? '';
  if (line.charAt(column) === '{') {
    for (let i = from + 1; i < to; i++) if (!nothing.test(lines[i] ?? '')) return notPlain;
    return readBraces(line, column, nested);
  }
  return readLines(lines, from, to, column, nested);
}

/** `- id: a`, and a line for each other key. */
function readLines(lines: readonly string[], from: number, to: number, column: number, nested: Nested) {
  const entry: Entry = {};
  for (let i = from; i < to; i++) {
    const line = lines[i] ?? '';
    if (i > from && nothing.test(line)) continue;
    if (i > from && indentOf(line) !== column) return notPlain;
    linePattern.lastIndex = column;
    const [, key, plain, double, single, inBrackets] = linePattern.exec(line) ?? [];
    if (key === undefined || Object.hasOwn(entry, key)) return notPlain;
    let value = double ?? single ?? (plain === undefined ? undefined : scalarOf(plain));
    if (value === undefined && inBrackets !== undefined) value = isKey.test(inBrackets) ? notPlain : nested(inBrackets);
    if (value === undefined) {
      const below = i + 1;
      while (i + 1 < to && indentOf(lines[i + 1] ?? '') > column) i++;
      const text = textOf(lines, below, i + 1);
      value = i < below || mayKeepLines.test(text) ? notPlain : nested(text);
    }
    if (value === notPlain) return notPlain;
    entry[key] = value;
  }
  return entry;
}

/** `- { id: a, identifier: b }` */
function readBraces(line: string, column: number, nested: Nested) {
  const entry: Entry = {};
  pairPattern.lastIndex = column + 1;
  for (;;) {
    const [, key, plain, double, single, inBraces, end] = pairPattern.exec(line) ?? [];
    if (key === undefined || Object.hasOwn(entry, key)) return notPlain;
    const value = double ?? single ?? (plain === undefined ? nested(inBraces ?? '') : scalarOf(plain));
    if (value === notPlain) return notPlain;
    entry[key] = value;
    if (end === ',') continue;
    endPattern.lastIndex = pairPattern.lastIndex;
    return endPattern.test(line) ? entry : notPlain;
  }
}

function indentOf(line: string): number {
  let indent = 0;
  while (line.charCodeAt(indent) === 0x20) indent++;
  return indent;
}

function scalarOf(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  return resolved.some((test) => test.test(text)) ? notPlain : text;
}

/** A value that is a document of its own. An anchor could be used elsewhere, so it is not read here. */
function readAlone(text: string): unknown {
  if (text.includes('&')) return notPlain;
  const { faults, values } = readYaml(text);
  return faults.length > 0 || values === null ? notPlain : values.root;
}

/** Schedules and windows repeat in many groups. */
function memoized(read: Nested): Nested {
  const known = new Map<string, unknown>();
  return (text) => {
    if (!known.has(text)) {
      if (known.size === 1_000) known.clear();
      known.set(text, read(text));
    }
    return known.get(text);
  };
}
