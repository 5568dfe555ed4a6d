/** Things that must be unique in a list: each later one is reported, and says which came before it. */
import type { Path, Report } from './problems.ts';

export interface Named {
  /** Two with the same key are twins. */
  readonly key: string;
  readonly path: Path;
}

/** `message`: what to say of a later one, given the first. */
export function reportTwins<T extends Named>(
  entries: readonly T[],
  message: (first: T) => string,
  report: Report,
): void {
  const first = new Map<string, T>();
  for (const entry of entries) {
    const before = first.get(entry.key);
    if (before === undefined) first.set(entry.key, entry);
    else report(entry.path, message(before));
  }
}
