/**
 * Every problem of a configuration: each with the file, the line and the column of the value that it is about. Slower
 * than `parse.ts`, because it parses every file as a whole, with the positions of all values. Pure.
 */
import type { Config } from './config.ts';
import {
  describeIssue,
  type Finding,
  findingsOf,
  formatPath,
  formatProblem,
  type Path,
  type Problem,
} from './problems.ts';
import { type ConfigRules, configSchema, includedSchema } from './schema.ts';
import { originOf, type Sources } from './sources.ts';
import { isMap } from './values.ts';
import { type ReadYaml, readYaml } from './yaml.ts';

export type Loaded<T = Config> =
  | { readonly ok: true; readonly config: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A file with its values and their positions. */
interface Placed extends ReadYaml {
  readonly file: string;
}

export function explain(sources: Sources, rules: ConfigRules): Loaded {
  const main: Placed = { file: sources.main.file, ...readYaml(sources.main.text) };
  const included = sources.included.map(({ file, text }): Placed => ({ file, ...readYaml(text) }));
  const problems = [...sources.problems, ...[main, ...included].flatMap(faultsOf), ...included.flatMap(ownProblems)];
  if (main.values === null) return { ok: false, problems: sorted(problems, sources) };

  const { root } = main.values;
  const joined = joinGroups(main, included);
  const includes = sources.inclusions.length > 0 || (isMap(root) && root.include != null);
  const needsGroups = rules.needsGroups !== false;
  const schema = configSchema(originOf(sources), needsGroups && !includes, joined.nameOf);
  const parsed = schema.safeParse(joined.root, { error: describeIssue, reportInput: true });
  problems.push(...findingsOf(parsed.error?.issues ?? []).map(joined.problemOf));
  if (includes && needsGroups && joined.count === 0 && problems.length === 0)
    problems.push(problemIn(main, { path: ['include'], message: noGroups, isKey: false }));
  if (parsed.success && problems.length === 0) return { ok: true, config: parsed.data };
  return { ok: false, problems: sorted(problems, sources) };
}

const noGroups = 'neither this file nor an included one has a group';

function faultsOf({ file, faults }: Placed): Problem[] {
  return faults.map((fault) => ({ file, ...fault, path: '' }));
}

/** What is wrong with an included file, whatever the others have. */
function ownProblems(placed: Placed): Problem[] {
  if (placed.values === null) return [];
  const { error } = includedSchema.safeParse(placed.values.root, { error: describeIssue, reportInput: true });
  return findingsOf(error?.issues ?? []).map((finding) => problemIn(placed, finding));
}

function problemIn(placed: Placed, finding: Finding): Problem {
  const { path, message } = finding;
  return { file: placed.file, ...placed.placeOf(finding), path: formatPath(path), message };
}

/** All files as one: the main file with the groups of all. Finds the file of each finding again. */
function joinGroups(main: Placed, included: readonly Placed[]) {
  const groups: { readonly placed: Placed; readonly index: number; readonly entry: unknown }[] = [];
  for (const placed of [main, ...included]) {
    const { root } = placed.values ?? {};
    const own = isMap(root) && Array.isArray(root.groups) ? root.groups : [];
    for (const [index, entry] of own.entries()) groups.push({ placed, index, entry });
  }
  const root = main.values?.root;
  const isJoined = included.length > 0 && isMap(root) && (root.groups == null || Array.isArray(root.groups));

  function locate(path: Path): { readonly placed: Placed; readonly path: Path } {
    const [section, index, ...rest] = path;
    const group = isJoined && section === 'groups' && typeof index === 'number' ? groups[index] : undefined;
    return group === undefined
      ? { placed: main, path }
      : { placed: group.placed, path: ['groups', group.index, ...rest] };
  }

  return {
    root: isJoined ? { ...root, groups: groups.map(({ entry }) => entry) } : root,
    count: groups.length,
    problemOf(finding: Finding): Problem {
      const { placed, path } = locate(finding.path);
      return problemIn(placed, { ...finding, path });
    },
    /** The place of a value, for a message about another one: with its file if that is another one too. */
    nameOf(of: Path, from: Path): string {
      const { placed, path } = locate(of);
      const name = formatPath(path);
      if (placed === locate(from).placed) return name;
      const { line, column } = placed.placeOf({ path, message: '', isKey: false });
      return `${name} in ${placed.file}:${line}:${column}`;
    },
  };
}

/** By file and position, each once: what is wrong with an included file is found in it and in all files together. */
function sorted(problems: readonly Problem[], { main, included }: Sources): Problem[] {
  const order = new Map([main, ...included].map(({ file }, i) => [file, i]));
  const placeOf = ({ file }: Problem) => order.get(file) ?? order.size;
  return [...new Map(problems.map((problem) => [formatProblem(problem), problem])).values()].sort(
    (a, b) => placeOf(a) - placeOf(b) || a.line - b.line || a.column - b.column,
  );
}
