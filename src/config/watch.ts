/**
 * Notices that the configuration file was edited. Looks at what the path leads to, whenever it is asked: so an editor
 * that replaces the file, a symbolic link that is moved (as Kubernetes does with ConfigMaps) and a network disk all
 * work alike. The last good configuration stays in force; each broken edit is told once.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Config } from './config.ts';
import { type Loaded, type LoadedText, parseConfig, readConfigText } from './load.ts';
import type { Problem } from './problems.ts';

export type Poll =
  /** Nothing was edited, or nothing that makes a difference. */
  | { readonly status: 'unchanged' }
  /** Another configuration; or, after a broken edit, any that is good, be it the one in force. */
  | { readonly status: 'changed'; readonly config: Config }
  | { readonly status: 'broken'; readonly problems: readonly Problem[] };

export interface ConfigWatcher {
  /** The last good configuration. */
  readonly current: Config;
  /**
   * One call at a time. An edit counts once the file has been the same for `stableMs`, because it may be read while it is
   * being written; `atOnce`: a person says that it is complete.
   */
  poll(options?: { readonly atOnce?: boolean }): Promise<Poll>;
  /** Whether the file was edited since it was last read. May be asked at any time. */
  isEdited(): Promise<boolean>;
}

export interface WatchOptions {
  /** Default: 10 s. */
  readonly stableMs?: number;
  /** A steady clock, in milliseconds. */
  readonly clock?: () => number;
}

/** File systems tell times apart by up to two seconds: until then a second edit may look like the first. */
const freshMs = 3_000;

export type Watched =
  | { readonly ok: true; readonly watcher: ConfigWatcher }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads the file, which must be right, and watches it from then on. `file`: an absolute path. */
export async function watchConfig(file: string, options: WatchOptions = {}): Promise<Watched> {
  const read = await readConfigText(file);
  const loaded = parse(read, file);
  return loaded.ok ? { ok: true, watcher: createWatcher(loaded.config, digestOf(read), options) } : loaded;
}

/** `content`: the digest of what the configuration was read from. */
function createWatcher(
  inForce: Config,
  content: string,
  { stableMs = 10_000, clock = () => performance.now() }: WatchOptions,
): ConfigWatcher {
  const { file } = inForce;
  let current = inForce;
  let read = content;
  /** null: read the file at the next poll, whatever it looks like. */
  let seen: string | null = null;
  let broken = false;
  /** An edit that has not been the same for long enough; null: there is none. */
  let edit: { readonly digest: string; readonly since: number } | null = null;

  /** Whether the file may still be being written. */
  function isSettling(digest: string): boolean {
    if (edit?.digest !== digest) edit = { digest, since: clock() };
    return clock() - edit.since < stableMs;
  }

  async function poll({ atOnce = false }: { readonly atOnce?: boolean } = {}): Promise<Poll> {
    const stamp = await stampOf(file);
    if (stamp !== null && stamp === seen && edit === null) return { status: 'unchanged' };
    const found = await readConfigText(file);
    const digest = digestOf(found);
    seen = stamp;
    if (digest !== read && !atOnce && isSettling(digest)) return { status: 'unchanged' };
    edit = null;
    if (digest === read) return { status: 'unchanged' };
    read = digest;
    const loaded = parse(found, file);
    const wasBroken = broken;
    broken = !loaded.ok;
    if (!loaded.ok) return { status: 'broken', problems: loaded.problems };
    if (!wasBroken && JSON.stringify(loaded.config) === JSON.stringify(current)) return { status: 'unchanged' };
    current = loaded.config;
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

function parse(read: LoadedText, file: string): Loaded {
  return read.ok ? parseConfig(read.text, file) : read;
}

/** Instead of the text, which may be large: tells it, or why it could not be read, from any other. */
function digestOf(read: LoadedText): string {
  return createHash('sha256')
    .update(read.ok ? read.text : JSON.stringify(read.problems))
    .digest('hex');
}

/** What tells two versions of a file apart without reading them; null while only reading can tell. */
async function stampOf(file: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
    if (Math.abs(Date.now() - Math.max(mtimeMs, ctimeMs)) < freshMs) return null;
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return null;
  }
}
