/**
 * Reads a configuration file: UTF-8, YAML, then `build.ts`. Every problem is reported at once, sorted by its place. A
 * file that cannot be read is such a problem, not an exception.
 */
import { createReadStream } from 'node:fs';
import type { Config } from './config.ts';
import { describeIssue, findingsOf, formatPath, type Problem } from './problems.ts';
import { configSchema } from './schema.ts';
import { readYaml } from './yaml.ts';

export type Loaded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export type LoadedText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Some 200,000 groups. */
const mostBytes = 32 * 1024 * 1024;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file: name it with --config or ROTATOR_CONFIG',
  EISDIR: 'cannot be read: it is a folder',
  EACCES: 'cannot be read: this user may not',
};

/** `file`: an absolute path. */
export async function loadConfig(file: string): Promise<Loaded> {
  const read = await readConfigText(file);
  return read.ok ? parseConfig(read.text, file) : read;
}

/** The file's text, as far as it is text. */
export async function readConfigText(file: string): Promise<LoadedText> {
  const refuse = (message: string): LoadedText => ({
    ok: false,
    problems: [{ file, line: 1, column: 1, path: '', message }],
  });
  const chunks: Buffer[] = [];
  try {
    // One byte more than allowed, from whatever it is: it may be a pipe, or a device that never ends.
    for await (const chunk of createReadStream(file, { end: mostBytes })) chunks.push(chunk as Buffer);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return refuse(reasons[code] ?? `cannot be read: ${code}`);
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length > mostBytes) return refuse(`is larger than ${mostBytes / 1024 / 1024} MiB`);
  try {
    return { ok: true, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return refuse('is not UTF-8 text');
  }
}

/** `file`: an absolute path, used in messages and to resolve relative paths in the file. */
export function parseConfig(text: string, file: string): Loaded {
  const yaml = readYaml(text);
  const problems: Problem[] = yaml.faults.map((fault) => ({ file, ...fault, path: '' }));
  if (yaml.values !== null) {
    const parsed = configSchema(file).safeParse(yaml.values.root, { error: describeIssue, reportInput: true });
    if (parsed.success && problems.length === 0) return { ok: true, config: parsed.data };
    for (const finding of findingsOf(parsed.error?.issues ?? [])) {
      problems.push({ file, ...yaml.placeOf(finding), path: formatPath(finding.path), message: finding.message });
    }
  }
  return { ok: false, problems: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}
