/**
 * Joins reads that are wanted at the same time into one. A read begins after it was wanted, so a result is never older
 * than its question. At most one read runs, so its cost does not grow with the visitors of one group.
 */
export function createBatches<T>(readMany: (ids: readonly string[]) => Promise<T>): (id: string) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: { readonly ids: Set<string>; readonly result: Promise<T> } | null = null;

  function open() {
    const ids = new Set<string>();
    const result = last.then(() => {
      next = null;
      return readMany([...ids]);
    });
    last = result.catch(() => {});
    return { ids, result };
  }

  return (id) => {
    next ??= open();
    next.ids.add(id);
    return next.result;
  };
}
