/** The pause before the next try: `firstMs`, doubled `times` times, and at most `maxMs`. */
export function doubled(firstMs: number, times: number, maxMs: number): number {
  return Math.min(firstMs * 2 ** Math.min(times, 40), maxMs);
}
