/**
 * The configuration in force while the worker runs. An edit is applied as a whole or not at all: a broken edit, or one
 * whose tokens are missing, is reported, and the last valid configuration stays in force.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/config.ts';
import { formatProblem } from '../config/problems.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import type { Tokens } from './tokens.ts';

export interface ReloadEffects {
  /**
   * Applies the change from `before` to `next`, which is in force already, to everything that runs. Called again if it
   * fails.
   */
  readonly apply: (next: Config, before: Config) => Promise<void>;
  /** Called when a request has had the tokens of the configuration in force read again. */
  readonly onTokensRead: () => Promise<void>;
}

export interface ReloadDependencies {
  /** Holds the configuration that was read at startup. */
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  readonly observer: Observer;
  readonly log: Logger;
}

/** A running worker cannot change these. */
const fixed = ['redis', 'ops'] as const;

export function createReload({ watcher, tokens, observer, log }: ReloadDependencies) {
  let inForce = watcher.current;
  let since = Date.now();
  let isBroken = false;
  let isRequested = false;
  /** An edit that waits for its tokens; null if there is none. */
  let waiting: Config | null = null;
  /** The configuration before an edit that was only partly applied; null: the one in force is fully applied. */
  let unapplied: Config | null = null;

  async function applyAll({ apply }: ReloadEffects, before: Config): Promise<void> {
    unapplied ??= before;
    await apply(inForce, unapplied);
    unapplied = null;
    log.info({ event: 'config.reloaded' }, 'the edited configuration file is in force');
    observer.reload('applied');
  }

  function reject(problems: readonly string[], why: string): void {
    isBroken = true;
    observer.reload('broken');
    for (const problem of problems) log.error({ event: 'config.broken' }, problem);
    log.error({ event: 'config.kept' }, why);
  }

  /** A token file may have changed although the configuration did not. */
  async function rereadTokens({ onTokensRead }: ReloadEffects): Promise<void> {
    for (const problem of tokens.load(inForce)) log.error({ event: 'config.broken' }, problem);
    await onTokensRead();
    log.info({ event: 'config.reread' }, 'the configuration file and the tokens have been read again');
  }

  /** The edited configuration, if it can be applied; null: the one in force stays. */
  async function readEdit(atOnce: boolean): Promise<Config | null> {
    const polled = await watcher.poll({ atOnce });
    if (polled.status === 'unchanged') {
      noteText();
      return waitingEdit();
    }
    waiting = null;
    if (polled.status === 'broken') {
      const problems = polled.problems.map(formatProblem);
      reject(problems, 'the configuration file is invalid: the last valid one stays in force');
      return null;
    }
    const missing = tokens.load(polled.config);
    if (missing.length === 0) return polled.config;
    reject(missing, 'tokens are missing: the last valid configuration stays in force until they are set');
    waiting = polled.config;
    return null;
  }

  /** An edit that changes no setting, such as a comment, is in force as soon as it is read. */
  function noteText(): void {
    const { redis, ops, hash } = inForce;
    const read = watcher.current;
    if (read.hash === hash || waiting !== null || !isDeepStrictEqual({ ...read, redis, ops, hash }, inForce)) return;
    use({ ...inForce, hash: read.hash });
  }

  function use(config: Config): void {
    inForce = config;
    since = Date.now();
  }

  /** The edit that waited for its tokens, if they are there now. */
  function waitingEdit(): Config | null {
    if (waiting === null || tokens.load(waiting).length > 0) return null;
    const edit = waiting;
    waiting = null;
    return edit;
  }

  async function look(effects: ReloadEffects, atOnce: boolean): Promise<void> {
    if (atOnce) await rereadTokens(effects);
    const next = await readEdit(atOnce);
    if (next === null) {
      if (unapplied !== null) await applyAll(effects, unapplied);
      return;
    }
    const before = inForce;
    for (const section of fixed) {
      if (isDeepStrictEqual(next[section], before[section])) continue;
      log.warn({ event: 'config.restart' }, `${section}: a change takes effect at the next start`);
    }
    isBroken = false;
    use({ ...next, redis: before.redis, ops: before.ops });
    await applyAll(effects, before);
  }

  return {
    get inForce(): Config {
      return inForce;
    },
    /** When this worker began to use that text of the file, by this machine's clock. */
    get inForceSince(): number {
      return since;
    },
    /** The file was edited and is broken. */
    get isBroken(): boolean {
      return isBroken;
    },
    /** Whether the file was edited and the edit is not in force yet. */
    hasPendingEdit: async () => unapplied !== null || (await watcher.isEdited()),
    /** The next look reads the file and the tokens in any case, without waiting for the file to be stable. */
    request(): void {
      isRequested = true;
    },
    /** Applies an edit of the file, if there is one. Must be called regularly, and not again during a call. */
    async look(effects: ReloadEffects): Promise<void> {
      const atOnce = isRequested;
      isRequested = false;
      try {
        await look(effects, atOnce);
      } catch (error) {
        // The request is not fulfilled yet.
        isRequested ||= atOnce;
        throw error;
      }
    },
  };
}
