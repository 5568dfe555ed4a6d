/**
 * Notices edits of the configuration file. It polls the path instead of watching a file descriptor, so editors that
 * replace the file, symbolic links that move (Kubernetes ConfigMaps) and network disks all work. After a broken edit, the
 * last valid configuration stays current, and the edit is reported once.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Config } from './config.ts';
import { type Loaded, type LoadedText, parseConfig, readConfigText } from './load.ts';
import type { Problem } from './problems.ts';

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
   * One call at a time. An edit counts once the file has not changed for `stableMs`, because it may be read while it is
   * being written. `atOnce`: a person says that the edit is complete.
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

/** Reads the file, which must be valid, and watches it from then on. `file`: an absolute path. */
export async function watchConfig(file: string, options: WatchOptions = {}): Promise<Watched> {
  const read = await readConfigText(file);
  const loaded = parse(read, file);
  return loaded.ok ? { ok: true, watcher: createWatcher(loaded.config, digestOf(read), options) } : loaded;
}

/** `initialDigest`: of the text that `initial` was read from. */
function createWatcher(
  initial: Config,
  initialDigest: string,
  { stableMs = 10_000, clock = () => performance.now() }: WatchOptions,
): ConfigWatcher {
  const { file } = initial;
  let current = initial;
  let read = initialDigest;
  /** Null: the next poll reads the file in any case. */
  let seen: string | null = null;
  let broken = false;
  /** An edit that may not be complete yet. */
  let edit: { readonly digest: string; readonly since: number } | null = null;

  /** Whether an edit may be incomplete. */
  function isSettling(digest: string): boolean {
    if (edit?.digest !== digest) edit = { digest, since: clock() };
    return clock() - edit.since < stableMs;
  }

  async function poll({ atOnce = false }: { readonly atOnce?: boolean } = {}): Promise<Poll> {
    const stamp = await stampOf(file);
    if (stamp !== null && stamp === seen && edit === null) return { status: 'unchanged' };
    const content = await readConfigText(file);
    const digest = digestOf(content);
    seen = stamp;
    if (digest !== read && !atOnce && isSettling(digest)) return { status: 'unchanged' };
    edit = null;
    if (digest === read) return { status: 'unchanged' };
    read = digest;
    const loaded = parse(content, file);
    const wasBroken = broken;
    broken = !loaded.ok;
    if (!loaded.ok) return { status: 'broken', problems: loaded.problems };
    const isSame = settingsOf(loaded.config) === settingsOf(current);
    current = loaded.config;
    if (isSame && !wasBroken) return { status: 'unchanged' };
    return { status: 'changed', config: current };
  }

  return {
    get current() {
      return current;
    },
    poll,
    async isEdited() {
      const stamp = await stampOf(file);
      if (stamp !== null && stamp === seen && edit === null) return false;
      return digestOf(await readConfigText(file)) !== read;
    },
  };
}

/** Everything but the hash of the text: comments change only that. */
function settingsOf(config: Config): string {
  return JSON.stringify({ ...config, hash: undefined });
}

function parse(read: LoadedText, file: string): Loaded {
  return read.ok ? parseConfig(read.text, file) : read;
}

/** Identifies the text, or the reason why it could not be read. The text itself may be large. */
function digestOf(read: LoadedText): string {
  return createHash('sha256')
    .update(read.ok ? read.text : JSON.stringify(read.problems))
    .digest('hex');
}

/** Differs between versions of a file, without reading them; null if only reading can tell. */
async function stampOf(file: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
    if (Math.abs(Date.now() - Math.max(mtimeMs, ctimeMs)) < freshMs) return null;
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return null;
  }
}
