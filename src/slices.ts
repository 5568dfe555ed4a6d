/**
 * Work on long lists that leaves time for other work: between two slices of a few milliseconds, the event loop goes on.
 * The lists must not change meanwhile.
 */
import { setImmediate } from 'node:timers/promises';

const sliceMs = 8;

export async function eachInSlices<T>(items: Iterable<T>, act: (item: T) => void): Promise<void> {
  let since = performance.now();
  for (const item of items) {
    act(item);
    if (performance.now() - since < sliceMs) continue;
    await setImmediate();
    since = performance.now();
  }
}

export async function mapInSlices<T, U>(items: Iterable<T>, map: (item: T) => U): Promise<U[]> {
  const mapped: U[] = [];
  await eachInSlices(items, (item) => mapped.push(map(item)));
  return mapped;
}

export async function filterInSlices<T>(items: Iterable<T>, isMeant: (item: T) => boolean): Promise<T[]> {
  const meant: T[] = [];
  await eachInSlices(items, (item) => {
    if (isMeant(item)) meant.push(item);
  });
  return meant;
}

/** A sorted copy. Sorts short runs, and merges two at a time. */
export async function sortInSlices<T>(items: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  const run = 1_000;
  const starts = Array.from({ length: Math.ceil(items.length / run) }, (_, i) => i * run);
  let runs = await mapInSlices(starts, (from) => items.slice(from, from + run).sort(compare));
  while (runs.length > 1) {
    const pairs = Array.from({ length: Math.ceil(runs.length / 2) }, (_, i) => runs.slice(2 * i, 2 * i + 2));
    runs = await mapInSlices(pairs, ([a = [], b = []]) => merge(a, b, compare));
  }
  return runs[0] ?? [];
}

function merge<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): T[] {
  const merged: T[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) merged.push((compare(a[i] as T, b[j] as T) <= 0 ? a[i++] : b[j++]) as T);
  while (i < a.length) merged.push(a[i++] as T);
  while (j < b.length) merged.push(b[j++] as T);
  return merged;
}
