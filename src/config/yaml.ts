/**
 * Reads YAML and knows the position of every value. Reports one syntax error for each line, with messages of its own.
 * What YAML allows but nobody means (a key given twice, two documents in one file) is an error too. Messages never quote
 * a value, because it may be a secret.
 */
import type { Document, LineCounter, Node, YAMLError } from 'yaml';
import { yaml } from '../packages.ts';
import { type Finding, type Path, truncate } from './problems.ts';

interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

interface Fault extends Place {
  readonly message: string;
}

export interface ReadYaml {
  readonly faults: readonly Fault[];
  /** Null if the faults make the file ambiguous. */
  readonly values: { readonly root: unknown } | null;
  /** The position of a finding's value or key, or of the nearest enclosing value that the file has. */
  placeOf(finding: Finding): Place;
}

/** Enough for one alias in each group, and too few for nested aliases that grow exponentially. */
const maxAliases = 200_000;
/** More than ten times as deep as the configuration is. A text in a hundred thousand brackets would end the process. */
const maxDepth = 100;

export function readYaml(text: string): ReadYaml {
  const lines = new (yaml().LineCounter)();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const { document, tooDeepAt } = composeDocument(text, lines);
  if (document === null) {
    const message = `lists and maps are nested more than ${maxDepth} deep: a bracket before it may not be closed`;
    return { faults: [{ ...placeAt(tooDeepAt), message }], values: null, placeOf: () => placeAt(0) };
  }
  const errors = [...document.errors, ...document.warnings];
  const faults = errors.map((error) => ({ ...placeAt(error.pos[0]), message: describeError(error, text) }));
  const dangling = danglingAliases(document);
  for (const offset of dangling)
    faults.push({ ...placeAt(offset), message: 'not valid YAML: "*" here names no anchor (&) before it' });

  const readable = dangling.length === 0 && errors.every(({ code }) => code === 'DUPLICATE_KEY');
  const values = readable ? valuesOf(document) : null;
  if (readable && values === null)
    faults.push({ line: 1, column: 1, message: 'too many aliases (*name) of aliases: write them out' });
  // Further errors on the same line usually follow from the first one.
  const reported = new Set<number>();
  return {
    faults: faults.filter(({ line }) => !reported.has(line) && reported.add(line)),
    values,
    placeOf: (finding) => placeAt(offsetOf(document.contents, finding)),
  };
}

type Composed =
  | { readonly document: Document; readonly tooDeepAt?: undefined }
  | { readonly document: null; readonly tooDeepAt: number };

/** As the package's `parseDocument`, which has no limit to the depth. */
function composeDocument(text: string, lines: LineCounter): Composed {
  const { Composer, Lexer, Parser, YAMLParseError } = yaml();
  const parser = new Parser(lines.addNewLine);
  let isTooDeep = false;
  function* tokens() {
    lines.addNewLine(0);
    for (const lexeme of new Lexer().lex(text)) {
      yield* parser.next(lexeme);
      isTooDeep = parser.stack.length > maxDepth;
      if (isTooDeep) return;
    }
    yield* parser.end();
  }
  const composer = new Composer({ lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const [document, second] = composer.compose(tokens(), true, text.length);
  if (isTooDeep || document === undefined) return { document: null, tooDeepAt: parser.offset };
  if (second !== undefined) {
    document.errors.push(new YAMLParseError([second.range[0], second.range[1]], 'MULTIPLE_DOCS', ''));
  }
  return { document };
}

function valuesOf(document: Document): { root: unknown } | null {
  try {
    return { root: document.toJS({ maxAliasCount: maxAliases }) };
  } catch (error) {
    if (error instanceof ReferenceError) return null;
    throw error;
  }
}

/** The offsets of aliases without an anchor before them. */
function danglingAliases(document: Document): number[] {
  const { isAlias, visit } = yaml();
  const anchors = new Set<string>();
  const offsets: number[] = [];
  visit(document, {
    Node(_key, node) {
      if (isAlias(node) && !anchors.has(node.source)) offsets.push(node.range?.[0] ?? 0);
      else if ('anchor' in node && node.anchor !== undefined) anchors.add(node.anchor);
    },
  });
  return offsets;
}

function describeError({ code, message, pos }: YAMLError, text: string): string {
  const messages: Readonly<Partial<Record<YAMLError['code'], string>>> = {
    DUPLICATE_KEY: `"${truncate(/^[^:\r\n]*/.exec(text.slice(pos[0], pos[0] + 200))?.[0].trim() ?? '')}" appears twice`,
    MULTIPLE_DOCS: 'the file must contain one document: remove the second "---"',
    TAB_AS_INDENT: 'not valid YAML: a tab at the beginning of a line; indent with spaces',
    BAD_INDENT: 'not valid YAML: this line is not indented like its neighbours, or a bracket above is not closed',
    BLOCK_AS_IMPLICIT_KEY: 'not valid YAML: two "key: value" on one line; put text that holds ": " in quotes',
    BAD_SCALAR_START: 'not valid YAML: text that begins with @ or ` must be in quotes',
    BAD_DQ_ESCAPE: 'not valid YAML: "\\" in double quotes begins an escape; use single quotes',
    UNEXPECTED_TOKEN: 'not valid YAML: this does not belong here',
    TAG_RESOLVE_FAILED: 'tags (!name) are not supported here: put text that begins with "!" in quotes',
    BAD_ALIAS: 'not valid YAML: text that begins with "*" or "&" must be in quotes',
  };
  if (code === 'MISSING_CHAR' && /map values/.test(message)) return 'not valid YAML: expected "key: value"';
  if (code === 'MISSING_CHAR' && /closing/.test(message)) return 'not valid YAML: a quote above is not closed';
  return messages[code] ?? `not valid YAML: ${code.toLowerCase().replaceAll('_', ' ')}`;
}

function offsetOf(root: Node | null, { path, isKey }: Finding): number {
  let node: unknown = root;
  let offset = startOf(root) ?? 0;
  for (const [depth, part] of path.entries()) {
    const next = childOf(node, part);
    if (next === null) return offset;
    const target = depth === path.length - 1 && isKey ? next.key : next.value;
    offset = startOf(target) ?? startOf(next.key) ?? offset;
    node = next.value;
  }
  return offset;
}

function childOf(node: unknown, part: Path[number]): { key: unknown; value: unknown } | null {
  const { isMap, isScalar, isSeq } = yaml();
  if (isMap(node)) {
    // The last of two equal keys counts, as in the values.
    const pair = node.items.findLast(({ key }) => isScalar(key) && String(key.value) === String(part));
    return pair === undefined ? null : { key: pair.key, value: pair.value };
  }
  if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
    return { key: node.items[part], value: node.items[part] };
  }
  return null;
}

/** Null for an empty value (`every:`), so that the position of its key is used. */
function startOf(node: unknown): number | null {
  const { isAlias, isMap, isScalar, isSeq } = yaml();
  if (isScalar(node) && node.value === null && node.source === '') return null;
  if (isScalar(node) || isMap(node) || isSeq(node) || isAlias(node)) return node.range?.[0] ?? null;
  return null;
}
