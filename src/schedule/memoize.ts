/** Expressions and zones come as text, from the file and from Redis, and a hundred thousand groups may share one. */
const maxKept = 10_000;

/** What `compute` returns for a text, computed once while the text is in use. */
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
