/**
 * Which configuration is in force while the worker runs. An edit is taken over whole or not at all: a broken one, or one
 * whose tokens are missing, is reported, and the last good one stays.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/config.ts';
import { formatProblem } from '../config/problem.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import type { Tokens } from './tokens.ts';

export interface Reloading {
  readonly inForce: Config;
  /** The file was edited and is broken. */
  readonly broken: boolean;
  /** Whether the file says something that is not in force yet. */
  isBehind(): Promise<boolean>;
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

  return {
    get inForce() {
      return inForce;
    },
    get broken() {
      return broken;
    },
    isBehind: async () => unapplied !== null || (await watcher.isEdited()),
    async look(atOnce) {
      const polled = await watcher.poll({ atOnce });
      if (polled.status === 'unchanged') {
        if (unapplied !== null) await applyAll(unapplied);
        return;
      }
      if (polled.status === 'broken') {
        const why = 'the configuration file is broken: the last good one stays in force';
        return keep(polled.problems.map(formatProblem), why);
      }
      const missing = tokens.load(polled.config);
      if (missing.length > 0) return keep(missing, 'tokens are missing: the last good configuration stays in force');
      const before = inForce;
      for (const section of fixed) {
        if (isDeepStrictEqual(polled.config[section], before[section])) continue;
        log.warn({ event: 'config.restart' }, `${section}: a change takes effect at the next start`);
      }
      broken = false;
      inForce = { ...polled.config, redis: before.redis, ops: before.ops };
      await applyAll(before);
    },
  };
}
