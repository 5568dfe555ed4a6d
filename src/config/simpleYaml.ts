/**
 * Reads YAML as most people write it, without a YAML parser, which takes longer to load than such a file takes to read: maps
 * and lists by indentation, or in brackets on one line; text with or without quotes on one line; whole numbers, booleans
 * and null. It returns null for everything else, valid or not. What it reads, a YAML parser reads as the same values.
 */

type Entry = Record<string, unknown>;

/** What stands for a value that is not written simply. */
const notSimple = Symbol('not simple');

/** Letters beyond ASCII, without blanks and invisible characters. */
const letters = '\\u00c0-\\u1fff\\u3040-\\ud7ff';
/** Text without quotes, which does not end with a blank, text in double quotes, or in single quotes. */
function textPattern({ commas }: { readonly commas: boolean }): RegExp {
  const after = `A-Za-z0-9${letters}@._/+*()${commas ? ',' : ''}\\-`;
  const plain = `[A-Za-z0-9${letters}](?:[${after}]|:(?=[A-Za-z0-9/])| +(?=[${after}:]))*`;
  return new RegExp(`(${plain})|"([^"\\\\\\x00-\\x1f]*)"|'([^'\\x00-\\x1f]*)'`, 'y');
}
const textInLine = textPattern({ commas: true });
/** A comma ends it. */
const textInBrackets = textPattern({ commas: false });
/** Text, which null and booleans are not. */
const mapKey = /(?!(?:[Nn]ull|NULL|[Tt]rue|TRUE|[Ff]alse|FALSE):)([A-Za-z][A-Za-z0-9]{0,40}):(?: +|(?=$))/y;
const blanks = / */y;
const lineEnd = / *(?:(?<= )#.*)?$/y;
const dash = /- +(?=[^ #])/y;
export const emptyLine = /^ *(?:#.*)?$/;
/** Numbers of YAML that are not read here. */
const otherNumber = /^(?:0x[\da-fA-F]+|0o[0-7]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)$/;
/** Twice as deep as the configuration is. */
const maxDepth = 12;

/** Characters. The patterns need memory in proportion to what they match. */
const maxLine = 100_000;

/**
 * Null: there is a directive, which changes what values mean, a tab or a lone carriage return, which is rarely meant, or a
 * very long line.
 */
export function linesOf(source: string): string[] | null {
  const text = source.replaceAll('\r\n', '\n');
  if (/[\t\r]|^%/m.test(text)) return null;
  const lines = text.split('\n');
  return lines.some(({ length }) => length > maxLine) ? null : lines;
}

export function readSimply(text: string): { readonly root: unknown } | null {
  const lines = linesOf(text);
  return lines && readSimpleLines(lines);
}

/** `lines`: what `linesOf` returned, or some of it. */
export function readSimpleLines(lines: readonly string[]): { readonly root: unknown } | null {
  const root = readRoot(lines.filter((line) => !emptyLine.test(line)));
  return root === notSimple ? null : { root };
}

/** Plain text, or what else it means. */
function scalarOf(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  if (text === 'null') return null;
  return otherNumber.test(text) || /^(?:null|true|false)$/i.test(text) ? notSimple : text;
}

function indentOf(line: string): number {
  let indent = 0;
  while (line.charCodeAt(indent) === 0x20) indent++;
  return indent;
}

/** `lines`: those that are not empty. */
function readRoot(lines: readonly string[]): unknown {
  /** The current line, and how far it is read. */
  let [at, column] = [0, 0];

  const current = () => lines[at] ?? '';
  const indent = () => (at < lines.length ? indentOf(current()) : -1);

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = column;
    const match = pattern.exec(current());
    if (match !== null) column = pattern.lastIndex;
    return match;
  }

  function root(): unknown {
    column = Math.max(indent(), 0);
    const value = isBracket() ? wholeLine(bracketed(0)) : block(indent(), 0);
    return at === lines.length ? value : notSimple;
  }

  const isBracket = () => current()[column] === '{' || current()[column] === '[';

  /** The value of a line, if nothing follows it there. */
  function wholeLine(value: unknown): unknown {
    if (value === notSimple || take(lineEnd) === null) return notSimple;
    at++;
    return value;
  }

  /** A map or a list whose first line is the current one. `own`: where each of its lines begins. */
  function block(own: number, depth: number): unknown {
    if (depth === maxDepth) return notSimple;
    return current().startsWith('- ', own) ? list(own, depth) : map(own, own, depth);
  }

  function list(own: number, depth: number): unknown {
    const entries: unknown[] = [];
    while (indent() === own && current().startsWith('- ', own)) {
      column = own;
      if (take(dash) === null) return notSimple;
      const from = column;
      const isMap = take(mapKey) !== null;
      column = from;
      const value = isMap ? map(from, own, depth + 1) : valueInLine(depth);
      if (value === notSimple) return notSimple;
      entries.push(value);
    }
    return indent() > own ? notSimple : entries;
  }

  /** `first`: where its first key begins, which may follow a dash; `outer`: where the line with it begins. */
  function map(own: number, outer: number, depth: number): unknown {
    const entries: Entry = {};
    let isFirst = true;
    while (indent() === (isFirst ? outer : own)) {
      isFirst = false;
      column = own;
      const key = take(mapKey)?.[1];
      if (key === undefined || Object.hasOwn(entries, key)) return notSimple;
      const value = take(lineEnd) === null ? valueInLine(depth) : valueBelow(own, depth);
      if (value === notSimple) return notSimple;
      entries[key] = value;
    }
    return isFirst || indent() > own ? notSimple : entries;
  }

  function valueInLine(depth: number): unknown {
    return wholeLine(isBracket() ? bracketed(depth + 1) : scalar(textInLine));
  }

  /** A map or a list in the lines below a key, or null. The list may begin where the key does. */
  function valueBelow(own: number, depth: number): unknown {
    at++;
    const below = indent();
    const isList = current().startsWith('- ', below);
    return below > own || (below === own && isList) ? block(below, depth + 1) : null;
  }

  function scalar(pattern: RegExp): unknown {
    const match = take(pattern);
    if (match === null) return notSimple;
    const [, plain, double, single] = match;
    return double ?? single ?? scalarOf(plain ?? '');
  }

  function bracketed(depth: number): unknown {
    if (!isBracket()) return scalar(textInBrackets);
    if (depth >= maxDepth) return notSimple;
    const isList = current()[column] === '[';
    const close = isList ? ']' : '}';
    const [list, entries]: [unknown[], Entry] = [[], {}];
    column++;
    take(blanks);
    while (current()[column] !== close) {
      const key = isList ? '' : take(mapKey)?.[1];
      if (key === undefined || Object.hasOwn(entries, key)) return notSimple;
      const value = bracketed(depth + 1);
      if (value === notSimple) return notSimple;
      if (isList) list.push(value);
      else entries[key] = value;
      take(blanks);
      const end = current()[column];
      if (end !== ',' && end !== close) return notSimple;
      if (end === ',') column++;
      take(blanks);
    }
    column++;
    return isList ? list : entries;
  }

  return root();
}
