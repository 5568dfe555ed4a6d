/**
 * Reads the texts of a configuration: the main file, and those that it includes. What cannot be read is a problem, not an
 * exception.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { filesOf, type Inclusion, inclusionsIn } from './include.ts';
import { cannotRead, codeOf, formatPath, type Problem } from './problems.ts';
import type { Origin } from './schema.ts';

/** A file that was read. */
export interface Source {
  /** Absolute path. */
  readonly file: string;
  readonly text: string;
  /** SHA-256 of its bytes, in hexadecimal digits. */
  readonly digest: string;
}

export interface Sources {
  readonly main: Source;
  /** Each file once, in the order of `include`, sorted by name. */
  readonly included: readonly Source[];
  /** The entries of `include`, and how many files each of them names. */
  readonly inclusions: readonly (Inclusion & { readonly files: number })[];
  /** What is wrong with `include` and the files that it names. */
  readonly problems: readonly Problem[];
}

type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problems: readonly Problem[] };

/** Enough for about 200,000 groups. */
const maxBytes = 32 * 1024 * 1024;

const noMain = 'there is no such file: run "invite-rotator init", or name the file with --config or ROTATOR_CONFIG';

/** `file`: the absolute path of the main file. */
export async function readSources(file: string): Promise<Read<Sources>> {
  const main = await readSource(file);
  if (!main.ok) return main;
  return { ok: true, value: { main: main.value, ...(await readAllIncluded(inclusionsIn(main.value.text), file)) } };
}

/** Programs delete and rename files meanwhile. One that never stops must not hold up a start. */
const maxListings = 5;

/** A file that is gone by the time it is read counts as never listed. */
async function readAllIncluded(inclusions: readonly Inclusion[], main: string): Promise<Omit<Sources, 'main'>> {
  let named = await filesNamedBy(inclusions, main);
  for (let listings = 1; ; listings++) {
    const read = [];
    for (const path of named.files) read.push(await readIncluded(path));
    const included = read.flatMap((one) => (one.ok ? one.value : []));
    const unread = read.flatMap((one) => (one.ok ? [] : one.problems));
    const now = unread.length === 0 ? named : await filesNamedBy(inclusions, main);
    if (listings === maxListings || now.files.join('\0') === named.files.join('\0')) {
      return { included, inclusions: named.inclusions, problems: [...named.problems, ...unread] };
    }
    named = now;
  }
}

/** A pipe would be waited for without end, and an edit with it. */
async function readIncluded(file: string): Promise<Read<Source>> {
  const stats = await stat(file).catch(() => null);
  const isOther = stats !== null && !stats.isFile() && !stats.isDirectory();
  return isOther
    ? refused(file, cannotRead('it is not a file'))
    : await readSource(file, cannotRead('there is no such file'));
}

function refused(file: string, message: string): Extract<Read<Source>, { ok: false }> {
  return { ok: false, problems: [{ file, line: 1, column: 1, path: '', message }] };
}

export async function readSource(file: string, missing = noMain): Promise<Read<Source>> {
  const refuse = (message: string) => refused(file, message);
  const hash = createHash('sha256');
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let size = 0;
  let text = '';
  try {
    // Reads at most one byte too many, because the file may be a pipe or a device without an end.
    for await (const chunk of createReadStream(file, { end: maxBytes })) {
      const bytes = chunk as Buffer;
      size += bytes.length;
      hash.update(bytes);
      text += decoder.decode(bytes, { stream: true });
    }
    if (size > maxBytes) return refuse(`is larger than ${maxBytes / 1024 / 1024} MiB`);
    return { ok: true, value: { file, text: text + decoder.decode(), digest: hash.digest('hex') } };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return refuse('is not UTF-8 text');
    return refuse(code === 'ENOENT' ? missing : cannotRead(code));
  }
}

interface Named {
  /** Absolute paths. */
  readonly files: readonly string[];
  readonly inclusions: Sources['inclusions'];
  readonly problems: readonly Problem[];
}

/** The files that the main file includes. A pattern may name none, because a program may not have written one yet. */
export async function filesNamedBy(inclusions: readonly Inclusion[], main: string): Promise<Named> {
  const files = new Set<string>();
  const counts: (Inclusion & { files: number })[] = [];
  const problems: Problem[] = [];
  for (const inclusion of inclusions) {
    const { pattern, path, line, column } = inclusion;
    const { files: all, problem } = await filesOf(pattern, dirname(main));
    const named = (all ?? []).filter((file) => file !== main);
    for (const file of named) files.add(file);
    counts.push({ ...inclusion, files: named.length });
    if (all === null) problems.push({ file: main, line, column, path: formatPath(path), message: problem });
  }
  return { files: [...files], inclusions: counts, problems };
}

/** Of one file, the digest of its bytes; of several, one over all of them and their names, wherever the folder is. */
export function digestOf({ main, included, problems }: Sources): string {
  if (included.length === 0 && problems.length === 0) return main.digest;
  const hash = createHash('sha256').update(main.digest);
  for (const { file, digest } of included) hash.update(JSON.stringify([relative(dirname(main.file), file), digest]));
  return hash.update(JSON.stringify(problems)).digest('hex');
}

export function originOf(sources: Sources): Origin {
  return {
    file: sources.main.file,
    hash: digestOf(sources).slice(0, 12),
    included: sources.inclusions.map(({ pattern, files }) => ({ pattern, files })),
  };
}
