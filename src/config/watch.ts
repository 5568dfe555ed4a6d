/**
 * Notices that the configuration file was edited. Looks at what the path leads to, whenever it is asked: so an editor
 * that replaces the file, a symbolic link that is moved (as Kubernetes does with ConfigMaps) and a network disk all
 * work alike. The last good configuration stays in force; each broken edit is told once.
 */
import { stat } from 'node:fs/promises';
import type { Config } from './config.ts';
import { type Loaded, loadConfig } from './load.ts';
import type { Problem } from './problem.ts';

export type Poll =
  | { readonly status: 'unchanged' }
  | { readonly status: 'changed'; readonly config: Config }
  | { readonly status: 'broken'; readonly problems: readonly Problem[] };

export interface ConfigWatcher {
  poll(): Promise<Poll>;
}

/** `inForce`: what was loaded from the file before; an edit since then is noticed as well. */
export function createConfigWatcher(inForce: Config): ConfigWatcher {
  const { file } = inForce;
  let seen = '';
  let last = JSON.stringify(inForce);

  return {
    async poll() {
      const stamp = await stampOf(file);
      if (stamp === seen) return { status: 'unchanged' };
      const loaded: Loaded = await loadConfig(file);
      seen = stamp;
      if (!loaded.ok) {
        const told = JSON.stringify(loaded.problems);
        if (told === last) return { status: 'unchanged' };
        last = told;
        return { status: 'broken', problems: loaded.problems };
      }
      const text = JSON.stringify(loaded.config);
      if (text === last) return { status: 'unchanged' };
      last = text;
      return { status: 'changed', config: loaded.config };
    },
  };
}

/** What tells two versions of a file apart without reading them. */
async function stampOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
