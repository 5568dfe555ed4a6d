/**
 * The key `include`: further files, each with a list `groups` of its own. A path names one file, relative to the folder
 * of the main file; `*` in the name of the file stands for any text, so one pattern names all files of a folder.
 */
import { access, readdir } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { z } from 'zod';
import { readPlainly } from './plainYaml.ts';
import { cannotRead, codeOf, type Path } from './problems.ts';
import { readSimply } from './simpleYaml.ts';
import { checkedText, distinct, isMap, list } from './values.ts';
import { type ReadYaml, readYaml } from './yaml.ts';

const expected = 'the path of a file, or a pattern such as groups/*.yaml';

function patternProblem(pattern: string): string | null {
  if (pattern.trim() === '' || pattern.includes('\0')) return `expected ${expected}`;
  if (/[?[\]{}\\]/.test(pattern)) return 'only "*" has a meaning in a pattern: write ? [ ] { } and \\ as "*"';
  if (pattern.includes('**') || dirname(pattern).includes('*'))
    return 'expected "*" only in the name of the file: name each folder on its own';
  if (/[/]$/.test(pattern)) return `names a folder: add the name of the file, as in ${pattern}*.yaml`;
  return null;
}

const pattern = checkedText(expected, patternProblem);

export const includeSchema = z
  .union([pattern, distinct(list(pattern))], {
    error: ({ input }) =>
      (typeof input === 'string' ? patternProblem(input) : null) ?? `expected ${expected}, or a list of them`,
  })
  .nullish()
  .transform((include) => (include == null ? [] : [include].flat()))
  .describe('Further files with groups of their own: a path, a pattern such as groups/*.yaml, or a list of them');

/** A path or a pattern of the main file. */
export interface Inclusion {
  readonly pattern: string;
  /** Its place in the main file. */
  readonly path: Path;
  readonly line: number;
  readonly column: number;
}

/** The valid entries of `include`; the schema reports the others. */
export function inclusionsIn(text: string): Inclusion[] {
  const { values, placeOf } = readInclude(text);
  const include = isMap(values?.root) ? values.root.include : null;
  const entries = Array.isArray(include) ? include.map((one, i) => [one, ['include', i]]) : [[include, ['include']]];
  return entries.flatMap(([entry, path]) =>
    typeof entry === 'string' && patternProblem(entry) === null
      ? [{ pattern: entry, path, ...placeOf({ path, message: '', isKey: false }) }]
      : [],
  );
}

/** The key, or one that is written with escapes. */
const mayInclude = /\binclude["']?\s*:|"[^"\n]*\\[^"\n]*"\s*:/;

/** Parses the lines of that section, or the whole text if the section may be elsewhere or may need the others. */
function readInclude(text: string): Pick<ReadYaml, 'values' | 'placeOf'> {
  const start = /^["']?include["']?\s*:/m.exec(text)?.index;
  if (start === undefined) return mayInclude.test(text) ? readWhole(text) : nothing;
  // In braces, the section ends at a comma.
  if (/^\{/m.test(text.slice(0, start))) return readWhole(text);
  const next = /(?<=\n)[^\s#-]/g;
  next.lastIndex = start + 1;
  const { faults, values, placeOf } = readYaml(text.slice(start, next.exec(text)?.index));
  if (faults.length > 0) return readWhole(text);
  const before = linesIn(text, start);
  return {
    values,
    placeOf(finding) {
      const { line, column } = placeOf(finding);
      return { line: before + line, column };
    },
  };
}

const nothing = { values: null, placeOf: () => ({ line: 1, column: 1 }) };

/** The line ends before `end`. */
function linesIn(text: string, end: number): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < end; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function readWhole(text: string): Pick<ReadYaml, 'values' | 'placeOf'> {
  const plain = (readPlainly(text) ?? readSimply(text))?.root;
  // Most of these files have the word in a title.
  if (isMap(plain) && !Object.hasOwn(plain, 'include')) return nothing;
  return readYaml(text);
}

interface Matches {
  /** Absolute paths, sorted by name. Null: there is a problem. */
  readonly files: readonly string[] | null;
  readonly problem: string;
}

/** The files that a pattern names. Hidden files are left out, as in a shell. */
export async function filesOf(pattern: string, folder: string): Promise<Matches> {
  const path = resolve(folder, pattern);
  const name = basename(path);
  const parts = name.split('*').map((part) => part.replace(/[.+^$()|]/g, '\\$&'));
  const matches = new RegExp(`^${name.startsWith('*') ? '(?!\\.)' : ''}${parts.join('.*')}$`, 's');
  const isOne = !name.includes('*');
  try {
    const names = isOne ? [await access(path).then(() => name)] : await readdir(dirname(path));
    const files = names
      .filter((one) => isOne || matches.test(one))
      .sort()
      .map((one) => resolve(dirname(path), one));
    return { files, problem: '' };
  } catch (error) {
    const what = isOne ? `file "${pattern}"` : `folder "${dirname(pattern)}"`;
    const code = codeOf(error);
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
    const problem = isMissing
      ? `there is no ${what} (paths start at the folder of this file)`
      : `the ${what} ${cannotRead(code)}`;
    return { files: null, problem };
  }
}
