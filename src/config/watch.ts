/**
 * Notices that the configuration file was edited. Looks at what the path leads to, whenever it is asked: so an editor
 * that replaces the file, a symbolic link that is moved (as Kubernetes does with ConfigMaps) and a network disk all
 * work alike. The last good configuration stays in force; each broken edit is told once.
 */
import { stat } from 'node:fs/promises';
import type { Config } from './config.ts';
import { parseConfig, readConfigText } from './load.ts';
import type { Problem } from './problem.ts';

export type Poll =
  /** Nothing was edited, or nothing that makes a difference. */
  | { readonly status: 'unchanged' }
  /** Another configuration; or, after a broken edit, any that is good, be it the one in force. */
  | { readonly status: 'changed'; readonly config: Config }
  | { readonly status: 'broken'; readonly problems: readonly Problem[] };

export interface ConfigWatcher {
  /** The last good configuration. */
  readonly current: Config;
  /** One call at a time. */
  poll(): Promise<Poll>;
}

/** File systems tell times apart by up to two seconds: until then a second edit may look like the first. */
const freshMs = 3_000;

/** `inForce`: what was loaded from the file before; an edit since then is noticed as well. */
export function createConfigWatcher(inForce: Config): ConfigWatcher {
  const { file } = inForce;
  let current = inForce;
  /** null: read the file at the next poll, whatever it looks like. */
  let seen: string | null = null;
  /** What the file held when it was last read; where it could not be read, why. */
  let content: string | null = null;
  let broken = false;

  async function poll(): Promise<Poll> {
    const stamp = await stampOf(file);
    if (stamp !== null && stamp === seen) return { status: 'unchanged' };
    const read = await readConfigText(file);
    const found = read.ok ? `text ${read.text}` : `unreadable ${JSON.stringify(read.problems)}`;
    seen = stamp;
    if (found === content) return { status: 'unchanged' };
    content = found;
    const loaded = read.ok ? parseConfig(read.text, file) : read;
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
  };
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
