/**
 * Which configuration is in force while the worker runs. An edit is taken over whole or not at all: a broken one, or one
 * whose tokens are missing, is reported, and the last good one stays.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/config.ts';
import { formatProblem } from '../config/problems.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import type { Tokens } from './tokens.ts';

export interface Reloading {
  readonly inForce: Config;
  /** The file was edited and is broken. */
  readonly broken: boolean;
  /** Whether the file says something that is not in force yet. */
  hasPendingEdit(): Promise<boolean>;
  /** Looks whether the file was edited, and applies an edit; `atOnce`: without waiting whether it goes on. */
  look(atOnce: boolean): Promise<void>;
}

export interface ReloadingDependencies {
  /** Has read the configuration to start with. */
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  readonly observer: Observer;
  readonly log: Logger;
  /** Brings all that runs in line with `next`, which is in force already. */
  readonly apply: (next: Config, before: Config) => Promise<void>;
}

/** What a running worker cannot change. */
const fixed = ['redis', 'ops'] as const;

export function createReloading({ watcher, tokens, observer, log, apply }: ReloadingDependencies): Reloading {
  let inForce = watcher.current;
  let broken = false;
  /** An edit that waits for its tokens; null: none does. */
  let waiting: Config | null = null;
  /** What was in force before an edit whose `apply` has failed half-way; null: all is applied. */
  let unapplied: Config | null = null;

  async function applyAll(before: Config): Promise<void> {
    unapplied ??= before;
    await apply(inForce, unapplied);
    unapplied = null;
    log.info({ event: 'config.reloaded' }, 'the edited configuration file is in force');
    observer.reload('applied');
  }

  function keep(problems: readonly string[], why: string): void {
    broken = true;
    observer.reload('broken');
    for (const problem of problems) log.error({ event: 'config.broken' }, problem);
    log.error({ event: 'config.kept' }, why);
  }

  /** The file, where it was edited and can be taken over; null: what is in force stays. */
  async function edited(atOnce: boolean): Promise<Config | null> {
    const polled = await watcher.poll({ atOnce });
    if (polled.status === 'unchanged') return waitingEdit();
    waiting = null;
    if (polled.status === 'broken') {
      const why = 'the configuration file is broken: the last good one stays in force';
      keep(polled.problems.map(formatProblem), why);
      return null;
    }
    const missing = tokens.load(polled.config);
    if (missing.length === 0) return polled.config;
    keep(missing, 'tokens are missing: the last good configuration stays in force until they are there');
    waiting = polled.config;
    return null;
  }

  /** The edit that has waited for its tokens, if they are there now. */
  function waitingEdit(): Config | null {
    if (waiting === null || tokens.load(waiting).length > 0) return null;
    const found = waiting;
    waiting = null;
    return found;
  }

  return {
    get inForce() {
      return inForce;
    },
    get broken() {
      return broken;
    },
    hasPendingEdit: async () => unapplied !== null || (await watcher.isEdited()),
    async look(atOnce) {
      const next = await edited(atOnce);
      if (next === null) {
        if (unapplied !== null) await applyAll(unapplied);
        return;
      }
      const before = inForce;
      for (const section of fixed) {
        if (isDeepStrictEqual(next[section], before[section])) continue;
        log.warn({ event: 'config.restart' }, `${section}: a change takes effect at the next start`);
      }
      broken = false;
      inForce = { ...next, redis: before.redis, ops: before.ops };
      await applyAll(before);
    },
  };
}
