/** The entries with the same key, in the order of the list. `Map.groupBy` is newer than Node.js 20. */
export function groupBy<T, K>(list: readonly T[], keyOf: (entry: T) => K): Map<K, T[]> {
  const lists = new Map<K, T[]>();
  for (const entry of list) {
    const key = keyOf(entry);
    const same = lists.get(key);
    if (same === undefined) lists.set(key, [entry]);
    else same.push(entry);
  }
  return lists;
}
