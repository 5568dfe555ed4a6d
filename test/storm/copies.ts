/**
 * The workers' copies of the file. As with a mounted ConfigMap each worker has its own, and gets to see an edit at its
 * own time; a copy is replaced whole, or written in place, so that a worker may find half of it.
 */

import { writeFileSync } from 'node:fs';
import { open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.ts';

export interface Copies {
  /** Where a worker finds its copy. */
  pathOf(worker: number): string;
  /** Hands an edit to every worker: most get it at once, some seconds later, and most are told of it by SIGHUP. */
  spread(text: string): void;
  /** Hands the last edit to all, at once, and tells them. */
  settle(text: string): Promise<void>;
  /** Nothing is written any more. */
  close(): Promise<void>;
}

export interface CopiesOptions {
  readonly folder: string;
  readonly workers: number;
  readonly text: string;
  readonly random: Random;
  /** SIGHUP. */
  readonly reload: (worker: number) => void;
}

/** Longest time by which a worker gets an edit later than the first one. */
export const latestCopyMs = 8_000;

export function createCopies({ folder, workers, text: first, random, reload }: CopiesOptions): Copies {
  const paths = Array.from({ length: workers }, (_, i) => join(folder, `rotation-${i}.yaml`));
  const written = paths.map(() => 0);
  /** One write of a copy at a time. */
  const writing = paths.map(() => Promise.resolve());
  let version = 0;
  for (const path of paths) writeFileSync(path, first);

  async function replace(path: string, text: string): Promise<void> {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  }

  /** As an editor or `cp` does it, slowly; cut at the end of a line or anywhere. */
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
    // A newer edit has overtaken this one, or the storm is over.
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
        const lagMs = lags && random() < 0.5 ? random.between(500, latestCopyMs) : random.between(0, 50);
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
