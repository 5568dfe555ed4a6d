/**
 * Computes a result once for each key. A hundred thousand groups may share an expression or a zone, which come as text.
 * `maxKept`: when there are more results, all are computed again.
 */
export function memoize<V, K = string>(compute: (key: K) => V, maxKept = 10_000): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    if (known.size >= maxKept) known.clear();
    const value = compute(key);
    known.set(key, value);
    return value;
  };
}
