/**
 * Notices edits of the configuration: of the main file, and of files that it includes, which also come and go. It polls
 * paths instead of watching file descriptors, so editors that replace files, symbolic links that move (Kubernetes
 * ConfigMaps) and network disks all work. After a broken edit, the last valid configuration stays current, and the edit
 * is reported once.
 */
import { stat } from 'node:fs/promises';
import type { Config } from './config.ts';
import { type Inclusion, inclusionsIn } from './include.ts';
import type { Parsed } from './parse.ts';
import { maxAtOnceOfEdit, parse } from './parser.ts';
import type { Problem } from './problems.ts';
import { digestOf, filesNamedBy, readSources, type Sources } from './sources.ts';

export type Poll =
  /** No edit, or one that changes no setting. */
  | { readonly status: 'unchanged' }
  /** A different configuration; after a broken edit, any valid one, even the current one. */
  | { readonly status: 'changed'; readonly config: Config }
  | { readonly status: 'broken'; readonly problems: readonly Problem[] };

export interface ConfigWatcher {
  /** The last valid configuration, with the hash of the last valid text. */
  readonly current: Config;
  /**
   * One call at a time. An edit counts once no file has changed, appeared or vanished for `stableMs`, because files may be
   * read while they are being written. `atOnce`: a person says that the edit is complete.
   */
  poll(options?: { readonly atOnce?: boolean }): Promise<Poll>;
  /** Whether the file was edited since it was last read. Safe to call at any time. */
  isEdited(): Promise<boolean>;
}

export interface WatchOptions {
  /** Default: 10 s. */
  readonly stableMs?: number;
  /** A steady clock, in milliseconds. */
  readonly clock?: () => number;
}

/** Some file systems store times in steps of two seconds, so a second edit within them may look like the first. */
const freshMs = 3_000;

export type Watched =
  | { readonly ok: true; readonly watcher: ConfigWatcher }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads the files, which must be valid, and watches them from then on. `file`: the absolute path of the main file. */
export async function watchConfig(file: string, options: WatchOptions = {}): Promise<Watched> {
  const read = await readSources(file);
  if (!read.ok) return read;
  const parsed = await parse({ sources: read.value, rules: {}, known: new Map() });
  return parsed.ok ? { ok: true, watcher: createWatcher(parsed, read.value, options) } : parsed;
}

type Valid = Extract<Parsed, { ok: true }>;

/** `first`: what `sources` holds. */
function createWatcher(
  first: Valid,
  sources: Sources,
  { stableMs = 10_000, clock = () => performance.now() }: WatchOptions,
): ConfigWatcher {
  const { file } = first.config;
  let valid = first;
  let read = digestOf(sources);
  /** The entries of `include` in the text that was read last. */
  let inclusions: readonly Inclusion[] = inclusionsIn(sources.main.text);
  /** Null: the next poll reads the files in any case. */
  let seen: string | null = null;
  let broken = false;
  /** An edit that may not be complete yet. */
  let edit: { readonly digest: string; readonly since: number } | null = null;

  /** Whether an edit may be incomplete. */
  function isSettling(digest: string): boolean {
    if (edit?.digest !== digest) edit = { digest, since: clock() };
    return clock() - edit.since < stableMs;
  }

  const isSeen = (stamp: string | null) => stamp !== null && stamp === seen && edit === null;

  const parseEdit = (edited: Sources) =>
    parse({ sources: edited, rules: {}, known: valid.known }, undefined, maxAtOnceOfEdit);

  async function poll({ atOnce = false }: { readonly atOnce?: boolean } = {}): Promise<Poll> {
    // Before the texts: a file that changes while it is read looks changed at the next poll.
    const stamp = await stampOf(file, inclusions);
    if (isSeen(stamp)) return { status: 'unchanged' };
    const content = await readSources(file);
    const digest = digestOfRead(content);
    if (content.ok) inclusions = content.value.inclusions;
    seen = stamp;
    if (digest !== read && !atOnce && isSettling(digest)) return { status: 'unchanged' };
    edit = null;
    if (digest === read) return { status: 'unchanged' };
    read = digest;
    const parsed = content.ok ? await parseEdit(content.value) : content;
    const wasBroken = broken;
    broken = !parsed.ok;
    if (!parsed.ok) return { status: 'broken', problems: parsed.problems };
    const isSame = parsed.settings === valid.settings;
    // The same groups stay the same objects, so that comparing them costs nothing.
    valid = isSame ? { ...parsed, config: { ...valid.config, hash: parsed.config.hash } } : parsed;
    if (isSame && !wasBroken) return { status: 'unchanged' };
    return { status: 'changed', config: valid.config };
  }

  return {
    get current() {
      return valid.config;
    },
    poll,
    async isEdited() {
      if (isSeen(await stampOf(file, inclusions))) return false;
      return digestOfRead(await readSources(file)) !== read;
    },
  };
}

/** Identifies the texts, or the reason why they could not be read. */
function digestOfRead(read: Awaited<ReturnType<typeof readSources>>): string {
  return read.ok ? digestOf(read.value) : JSON.stringify(read.problems);
}

/** Differs between versions of the files, without reading them; null if only reading can tell. */
async function stampOf(main: string, inclusions: readonly Inclusion[]): Promise<string | null> {
  const { files, problems } = await filesNamedBy(inclusions, main);
  if (problems.length > 0) return null;
  const stamps: string[] = [];
  for (const file of [main, ...files]) {
    const stamp = await stampOfFile(file);
    if (stamp === null) return null;
    stamps.push(stamp);
  }
  return stamps.join('\n');
}

async function stampOfFile(file: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
    if (Math.abs(Date.now() - Math.max(mtimeMs, ctimeMs)) < freshMs) return null;
    return `${file} ${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return null;
  }
}
