/**
 * How long ago the planner last ticked, in whatever process: judged by whether the note of its last tick changes, and by
 * this process's steady clock. Clocks that are set back or forward mean nothing to it.
 */
export interface Ticks {
  /** `note`: the last tick's, as Redis has it now; null: it has none. */
  saw(note: string | null): void;
  /** This process finished a tick. */
  ticked(): void;
  /** null: no tick was seen since this process started. */
  ageMs(): number | null;
  /** Since the last tick, or since this process started. */
  silentMs(): number;
}

export function watchTicks(): Ticks {
  const startedAt = performance.now();
  let lastNote: string | null | undefined;
  let lastAt: number | null = null;
  const ageMs = () => (lastAt === null ? null : performance.now() - lastAt);
  return {
    saw(note) {
      // The first look shows no change, and a note that is gone was no tick.
      if (lastNote !== undefined && note !== null && note !== lastNote) lastAt = performance.now();
      lastNote = note;
    },
    ticked() {
      lastAt = performance.now();
    },
    ageMs,
    silentMs: () => ageMs() ?? performance.now() - startedAt,
  };
}
