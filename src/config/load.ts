/**
 * Reads a configuration file: YAML with positions, then `build.ts`. Every problem is reported at once, sorted by its
 * place, as `file:line:column path: message`.
 */
import { readFile } from 'node:fs/promises';
import { isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { buildConfig } from './build.ts';
import type { Config } from './config.ts';
import { type Finding, type Path, type Problem, pathText } from './problem.ts';

export type Loaded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A hundred thousand groups fit into a tenth of it. */
const mostBytes = 100 * 1024 * 1024;

export async function loadConfig(file: string): Promise<Loaded> {
  const whole = (message: string): Loaded => ({
    ok: false,
    problems: [{ file, line: 1, column: 1, path: '', message }],
  });
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return whole('there is no such file: name it with --config or ROTATOR_CONFIG');
    return whole(`cannot be read: ${code === 'EISDIR' ? 'it is a folder' : code}`);
  }
  if (bytes.length > mostBytes) return whole(`is larger than ${mostBytes / 1024 / 1024} MiB`);
  try {
    return parseConfig(new TextDecoder('utf-8', { fatal: true }).decode(bytes), file);
  } catch (error) {
    if (error instanceof TypeError) return whole('is not UTF-8 text');
    throw error;
  }
}

/** `file`: an absolute path, used in messages and to resolve a relative `tokenFile`. */
export function parseConfig(text: string, file: string): Loaded {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const broken = [...document.errors, ...document.warnings].map(
    ({ pos, message }): Problem => ({
      file,
      ...place(pos[0]),
      path: '',
      message: `not valid YAML: ${firstLine(message)}`,
    }),
  );
  if (broken.length > 0) return { ok: false, problems: sorted(broken) };

  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = `not valid YAML: ${error instanceof Error ? error.message : String(error)}`;
    return { ok: false, problems: [{ file, line: 1, column: 1, path: '', message }] };
  }
  const built = buildConfig(values, file);
  if (built.config !== null) return { ok: true, config: built.config };
  const problems = built.findings.map(
    (finding): Problem => ({
      file,
      ...place(offsetOf(document.contents, finding)),
      path: pathText(finding.path),
      message: finding.message,
    }),
  );
  return { ok: false, problems: sorted(problems) };
}

/** Where a finding stands: its value, its key, or the nearest thing around it that the file does have. */
function offsetOf(root: Node | null, { path, atKey }: Finding): number {
  let node: unknown = root;
  let offset = startOf(root) ?? 0;
  for (const [depth, part] of path.entries()) {
    const next = childOf(node, part);
    if (next === null) return offset;
    const last = depth === path.length - 1;
    offset = (last && atKey ? startOf(next.key) : (startOf(next.value) ?? startOf(next.key))) ?? offset;
    node = next.value;
  }
  return offset;
}

function childOf(node: unknown, part: Path[number]): { key: unknown; value: unknown } | null {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
    return pair === undefined ? null : { key: pair.key, value: pair.value };
  }
  if (isNode(node) && 'items' in node && typeof part === 'number') {
    const value = (node.items as unknown[])[part];
    return value === undefined ? null : { key: value, value };
  }
  return null;
}

function startOf(node: unknown): number | null {
  return isNode(node) ? (node.range?.[0] ?? null) : null;
}

function sorted(problems: Problem[]): Problem[] {
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
