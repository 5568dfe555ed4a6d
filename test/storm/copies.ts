/**
 * The workers' copies of the configuration file. As with a mounted ConfigMap, each worker has its own copy and sees an edit
 * at its own time. A copy is either replaced atomically or written in place, so a worker may read half of it.
 */
import { writeFileSync } from 'node:fs';
import { open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.ts';

export interface Copies {
  /** The path of a worker's copy. */
  pathOf(worker: number): string;
  /** Delivers an edit to every worker: most get it at once, some seconds later. Most also get a SIGHUP. */
  spread(text: string): void;
  /** Delivers the last edit to all workers at once, with a SIGHUP. */
  settle(text: string): Promise<void>;
  /** Stops writing. */
  close(): Promise<void>;
}

export interface CopiesOptions {
  readonly folder: string;
  readonly workers: number;
  readonly text: string;
  readonly random: Random;
  /** Sends SIGHUP to a worker. */
  readonly reload: (worker: number) => void;
}

/** The maximum delay between the first worker and the last one that gets an edit. */
export const maxCopyDelayMs = 8_000;

export function createCopies({ folder, workers, text: first, random, reload }: CopiesOptions): Copies {
  const paths = Array.from({ length: workers }, (_, i) => join(folder, `rotation-${i}.yaml`));
  const written = paths.map(() => 0);
  /** Serialises the writes of each copy. */
  const writing = paths.map(() => Promise.resolve());
  let version = 0;
  for (const path of paths) writeFileSync(path, first);

  async function replace(path: string, text: string): Promise<void> {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  }

  /** Writes the file in two parts with a pause between them, split at the end of a line or anywhere, as a slow `cp` does. */
  async function writeInPlace(path: string, text: string): Promise<void> {
    const anywhere = Math.floor(random.between(0, text.length));
    const cut = random() < 0.5 ? anywhere : text.indexOf('\n', anywhere) + 1;
    const file = await open(path, 'w');
    try {
      await file.write(text.slice(0, cut));
      await sleep(random.between(0, 300));
      await file.write(text.slice(cut));
    } finally {
      await file.close();
    }
  }

  async function deliver(worker: number, edit: number, text: string): Promise<void> {
    const path = paths[worker] ?? '';
    // A newer edit was delivered before this one, or the storm is over.
    if (edit <= (written[worker] ?? 0)) return;
    written[worker] = edit;
    await (random() < 0.5 ? replace(path, text) : writeInPlace(path, text));
    if (random() < 0.85) reload(worker);
  }

  function queue(worker: number, act: () => Promise<void>): Promise<void> {
    const done = (writing[worker] ?? Promise.resolve()).then(act);
    writing[worker] = done;
    return done;
  }

  return {
    pathOf: (worker) => paths[worker] ?? '',
    spread(text) {
      version += 1;
      const edit = version;
      const lags = random() < 0.4;
      for (const worker of paths.keys()) {
        const lagMs = lags && random() < 0.5 ? random.between(500, maxCopyDelayMs) : random.between(0, 50);
        void sleep(lagMs, undefined, { ref: false }).then(() => queue(worker, () => deliver(worker, edit, text)));
      }
    },
    async settle(text) {
      version += 1;
      written.fill(version);
      await Promise.all(
        paths.map((path, worker) =>
          queue(worker, async () => {
            await replace(path, text);
            reload(worker);
          }),
        ),
      );
    },
    async close() {
      written.fill(Number.POSITIVE_INFINITY);
      await Promise.all(writing);
    },
  };
}
