/** Results that are kept. When there are more, all are computed again. */
const maxKept = 10_000;

/** Computes a result once for each text. A hundred thousand groups may share an expression or a zone, which come as text. */
export function memoize<V>(compute: (text: string) => V): (text: string) => V {
  const known = new Map<string, V>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    if (known.size >= maxKept) known.clear();
    const value = compute(text);
    known.set(text, value);
    return value;
  };
}
