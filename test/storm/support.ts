/** Helpers of the checker: time spans and grouping. */

/** A span of time. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** How much of `within` the union of these spans covers, ms. */
export function inAll(spans: readonly Span[], within: Span): number {
  let covered = 0;
  let until = within.from;
  for (const { from, to } of [...spans].sort((a, b) => a.from - b.from)) {
    const begin = Math.max(from, until);
    const end = Math.min(to, within.to);
    if (end <= begin) continue;
    covered += end - begin;
    until = end;
  }
  return covered;
}

export function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
