/**
 * Reads a large file whose list `groups` is written simply, several times as fast as a whole YAML parser. An entry that is
 * written in another way is parsed as YAML by itself, and so is the rest of the file. It returns null if that may give
 * other values than parsing the whole file, or if the file is not valid.
 */
import { isDeepStrictEqual } from 'node:util';
import { emptyLine, linesOf, readSimpleLines, readSimply } from './simpleYaml.ts';
import { readYaml } from './yaml.ts';

export function readPlainly(text: string): { readonly root: unknown } | null {
  const lines = linesOf(text);
  if (lines === null) return null;
  const start = lines.findIndex((line) => line.startsWith('groups:'));
  if (start === -1 || !/^groups: *(?:#.*)?$/.test(lines[start] ?? '')) return null;
  const first = lines.findIndex((line, i) => i > start && !emptyLine.test(line));
  const dash = /^( *)- /.exec(lines[first] ?? '')?.[1];
  if (dash === undefined) return null;
  const list = readEntries(lines, first, `${dash}- `);
  if (list === null) return null;
  // The list becomes a short one of the same form, so that it may stand in the same places.
  const around = [...lines.slice(0, start + 1), `${dash}- 0`, ...lines.slice(list.end)].join('\n');
  const root = readValues(around)?.root as Record<string, unknown> | undefined;
  if (!root || !Object.hasOwn(root, 'groups') || !isDeepStrictEqual(root.groups, [0])) return null;
  return { root: { ...root, groups: list.entries } };
}

/** The entries that begin with `dash`, and the line after the list. Null: one of them is not valid on its own. */
function readEntries(
  lines: readonly string[],
  first: number,
  dash: string,
): { entries: unknown[]; end: number } | null {
  const entries: unknown[] = [];
  let from = first;
  while (lines[from]?.startsWith(dash)) {
    let to = from + 1;
    while (to < lines.length && isWithin(lines[to] ?? '', dash)) to++;
    const value = readEntry(lines.slice(from, to), to < lines.length);
    if (!Array.isArray(value) || value.length !== 1) return null;
    entries.push(value[0]);
    from = to;
  }
  return { entries, end: from };
}

/** Whether a line belongs to the entry above it. */
function isWithin(line: string, dash: string): boolean {
  if (line.startsWith(dash)) return false;
  return line === '' || line.startsWith(' ') || line.startsWith('#');
}

/** An entry as a list of its own. An anchor could be used elsewhere, so it is not read here. */
function readEntry(lines: readonly string[], hasLineAfter: boolean): unknown {
  const simple = readSimpleLines(lines);
  if (simple !== null) return simple.root;
  // With the line end, which may be part of a value.
  const text = `${lines.join('\n')}${hasLineAfter ? '\n' : ''}`;
  return text.includes('&') ? null : readValues(text)?.root;
}

/** The values of a whole text. Null: it is not valid YAML. */
function readValues(text: string): { readonly root: unknown } | null {
  const simple = readSimply(text);
  if (simple !== null) return simple;
  const { faults, values } = readYaml(text);
  return faults.length === 0 ? values : null;
}
