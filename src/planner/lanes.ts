/** Milliseconds after which other work of the process comes next. */
const turnMs = 10;

let turnEndsAt = 0;
let nextTurn: Promise<void> | null = null;

/**
 * Runs a task for each item, at most `lanes` at a time. Waits for all of them, then rejects if one has failed. Tasks whose
 * answers come at once would otherwise follow each other without a pause, so each waits for the next turn of the event
 * loop if this one has lasted long.
 */
export async function inLanes<T, R>(items: readonly T[], lanes: number, task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  let next = 0;
  async function lane(): Promise<void> {
    while (next < items.length) {
      const i = next++;
      while (performance.now() >= turnEndsAt) await turn();
      try {
        results[i] = await task(items[i] as T);
      } catch (error) {
        failures.push(error);
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
  return results;
}

/** As `inLanes`, but a task that fails delays no other: its failure is reported, and its result is missing. */
export async function inSeparateLanes<T, R>(
  items: readonly T[],
  lanes: number,
  task: (item: T) => Promise<R>,
  onFailure: (item: T, error: unknown) => void,
): Promise<R[]> {
  const done = await inLanes(items, lanes, async (item) => {
    try {
      return [await task(item)];
    } catch (error) {
      onFailure(item, error);
      return [];
    }
  });
  return done.flat(1) as R[];
}

/** Resolves in the next turn of the event loop, with which a new slice of work starts. */
function turn(): Promise<void> {
  nextTurn ??= new Promise((resolve) => {
    setImmediate(() => {
      turnEndsAt = performance.now() + turnMs;
      nextTurn = null;
      resolve();
    });
  });
  return nextTurn;
}
