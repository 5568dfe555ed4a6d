/**
 * Reads YAML as most people write it, without a YAML parser, which takes longer to load than such a file takes to read: maps
 * and lists by indentation, or in brackets on one line; text with or without quotes on one line; whole numbers, booleans
 * and null. It returns null for everything else, valid or not. What it reads, a YAML parser reads as the same values.
 */

type Entry = Record<string, unknown>;

/** What stands for a value that is not written simply. */
const notSimple = Symbol('not simple');

/** Text, which null and booleans are not. */
const keyPattern = '(?!(?:[Nn]ull|NULL|[Tt]rue|TRUE|[Ff]alse|FALSE):)([A-Za-z][A-Za-z0-9]{0,40})';
/** Letters beyond ASCII, without blanks and invisible characters. */
const letters = '\\u00c0-\\u1fff\\u3040-\\ud7ff';
/** Ends without blanks. In a list or map in brackets, a comma ends plain text. */
const plain = (more: string) => {
  const after = `A-Za-z0-9${letters}@._/+*()${more}\\-`;
  return `[A-Za-z0-9${letters}](?:[${after}]|:(?=[A-Za-z0-9/])| +(?=[${after}:]))*`;
};
const inLine = ',';
const inBrackets = '';
/** Plain text, text in double quotes, or in single quotes. `where`: whether plain text may have a comma. */
const textPattern = (where: typeof inLine | typeof inBrackets) =>
  `(?:(${plain(where)})|"([^"\\\\\\x00-\\x1f]*)"|'([^'\\x00-\\x1f]*)')`;
/** The end of a line. */
const endPattern = ' *(?:(?<= )#.*)?$';

const keyOf = new RegExp(`${keyPattern}:(?: +|(?=$))`, 'y');
const texts = {
  [inLine]: new RegExp(textPattern(inLine), 'y'),
  [inBrackets]: new RegExp(textPattern(inBrackets), 'y'),
};
const blanks = / */y;
const rest = new RegExp(endPattern, 'y');
const dash = /- +(?=[^ #])/y;
export const emptyLine = /^ *(?:#.*)?$/;
const number = /^(?:0x[\da-fA-F]+|0o[0-7]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)$/;
/** As deep as the configuration is, twice. */
const maxDepth = 12;

export function readSimply(text: string): { readonly root: unknown } | null {
  // A directive changes what values mean. A tab or a lone carriage return is rarely meant.
  if (/[\t\r]|^%/m.test(text)) return null;
  return readSimpleLines(text.split('\n'));
}

/** Of a text without tabs, carriage returns and directives. */
export function readSimpleLines(lines: readonly string[]): { readonly root: unknown } | null {
  const reader = readerOf(lines.filter((line) => !emptyLine.test(line)));
  const root = reader.root();
  return root === notSimple ? null : { root };
}

/** Plain text, or what else it means. */
function scalarOf(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  if (/^null$/.test(text)) return null;
  return number.test(text) || /^(?:null|true|false)$/i.test(text) ? notSimple : text;
}

function indentOf(line: string): number {
  let indent = 0;
  while (line.charCodeAt(indent) === 0x20) indent++;
  return indent;
}

/** `lines`: those that are not empty. */
function readerOf(lines: readonly string[]) {
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
    if (value === notSimple || take(rest) === null) return notSimple;
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
      const isMap = take(keyOf) !== null;
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
      const key = take(keyOf)?.[1];
      if (key === undefined || Object.hasOwn(entries, key)) return notSimple;
      const value = take(rest) === null ? valueInLine(depth) : valueBelow(own, depth);
      if (value === notSimple) return notSimple;
      entries[key] = value;
    }
    return isFirst || indent() > own ? notSimple : entries;
  }

  function valueInLine(depth: number): unknown {
    return wholeLine(isBracket() ? bracketed(depth + 1) : scalar(inLine));
  }

  /** A map or a list in the lines below a key, or null. The list may begin where the key does. */
  function valueBelow(own: number, depth: number): unknown {
    at++;
    const below = indent();
    const isList = current().startsWith('- ', below);
    return below > own || (below === own && isList) ? block(below, depth + 1) : null;
  }

  function scalar(where: typeof inLine | typeof inBrackets): unknown {
    const match = take(texts[where]);
    if (match === null) return notSimple;
    const [, plain, double, single] = match;
    return double ?? single ?? scalarOf(plain ?? '');
  }

  function bracketed(depth: number): unknown {
    if (!isBracket()) return scalar(inBrackets);
    if (depth >= maxDepth) return notSimple;
    const isList = current()[column] === '[';
    const close = isList ? ']' : '}';
    const [list, entries]: [unknown[], Entry] = [[], {}];
    column++;
    take(blanks);
    while (current()[column] !== close) {
      const key = isList ? '' : take(keyOf)?.[1];
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

  return { root };
}
