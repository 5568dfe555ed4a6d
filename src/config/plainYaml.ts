/**
 * Reads a file whose list `groups` is written plainly, ten times as fast as a whole YAML parser: each key on a line of
 * its own, or each group as one `{ key: value }`. It reads only what it fully understands. An entry written in any other
 * way is parsed as YAML by itself, and so is the rest of the file. It returns null if that may give other values than
 * parsing the whole file, or if the file is not valid.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  emptyLine,
  endPattern,
  inBrackets,
  indentOf,
  inLine,
  keyPattern,
  notSimple,
  readSimply,
  scalarOf,
  textPattern,
} from './simpleYaml.ts';
import { readYaml } from './yaml.ts';

type Entry = Record<string, unknown>;
const linePattern = new RegExp(`${keyPattern}:(?: +(?:${textPattern(inLine)}|([{[].*)))?${endPattern}`, 'y');
const pairPattern = new RegExp(
  ` *${keyPattern}: +(?:${textPattern(inBrackets)}|(\\{[^{}[\\]]*(?:\\[[^{}[\\]]*\\][^{}[\\]]*)*\\})) *([,}])`,
  'y',
);
const restPattern = new RegExp(endPattern, 'y');
/** A list or map in brackets that is the key of a map. */
const isKey = /[\]}] *:/;
/** Text in a block may go on in the empty lines after it. */
const mayKeepLines = /[|>]/;

export function readPlainly(source: string): { readonly root: unknown } | null {
  const text = source.replaceAll('\r\n', '\n');
  // A directive changes what values mean. A tab or a lone carriage return is rarely meant.
  if (/[\t\r]|^%/m.test(text)) return null;
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith('groups:'));
  if (start === -1 || !/^groups: *(?:#.*)?$/.test(lines[start] ?? '')) return null;
  const first = lines.findIndex((line, i) => i > start && !emptyLine.test(line));
  const dash = /^( *)- /.exec(lines[first] ?? '')?.[1];
  if (dash === undefined) return null;
  const list = readEntries(lines, first, `${dash}- `);
  if (list === null) return null;
  // The list becomes a short one of the same form, so that it may stand in the same places.
  const around = [...lines.slice(0, start + 1), `${dash}- 0`, ...lines.slice(list.end)].join('\n');
  const root = readValues(around)?.root as Entry | undefined;
  if (!root || !Object.hasOwn(root, 'groups') || !isDeepStrictEqual(root.groups, [0])) return null;
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
    const value = entry === notSimple ? readAlone(textOf(lines, from, to)) : [entry];
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
    for (let i = from + 1; i < to; i++) if (!emptyLine.test(lines[i] ?? '')) return notSimple;
    return readBraces(line, column, nested);
  }
  return readLines(lines, from, to, column, nested);
}

/** `- id: a`, and a line for each other key. */
function readLines(lines: readonly string[], from: number, to: number, column: number, nested: Nested) {
  const entry: Entry = {};
  for (let i = from; i < to; i++) {
    const line = lines[i] ?? '';
    if (i > from && emptyLine.test(line)) continue;
    if (i > from && indentOf(line) !== column) return notSimple;
    linePattern.lastIndex = column;
    const [, key, plain, double, single, bracketed] = linePattern.exec(line) ?? [];
    if (key === undefined || Object.hasOwn(entry, key)) return notSimple;
    let value = double ?? single ?? (plain === undefined ? undefined : scalarOf(plain));
    if (value === undefined && bracketed !== undefined) value = isKey.test(bracketed) ? notSimple : nested(bracketed);
    if (value === undefined) {
      const below = i + 1;
      while (i + 1 < to && indentOf(lines[i + 1] ?? '') > column) i++;
      const text = textOf(lines, below, i + 1);
      value = i < below || mayKeepLines.test(text) ? notSimple : nested(text);
    }
    if (value === notSimple) return notSimple;
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
    if (key === undefined || Object.hasOwn(entry, key)) return notSimple;
    const value = double ?? single ?? (plain === undefined ? nested(inBraces ?? '') : scalarOf(plain));
    if (value === notSimple) return notSimple;
    entry[key] = value;
    if (end === ',') continue;
    restPattern.lastIndex = pairPattern.lastIndex;
    return restPattern.test(line) ? entry : notSimple;
  }
}

/** A value that is a document of its own. An anchor could be used elsewhere, so it is not read here. */
function readAlone(text: string): unknown {
  if (text.includes('&')) return notSimple;
  const values = readValues(text);
  return values === null ? notSimple : values.root;
}

/** The values of a whole text. Null: it is not valid YAML. */
function readValues(text: string): { readonly root: unknown } | null {
  const simple = readSimply(text);
  if (simple !== null) return simple;
  const { faults, values } = readYaml(text);
  return faults.length === 0 ? values : null;
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
