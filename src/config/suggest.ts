/** "Did you mean": the known word nearest to one that is not known. */
import { distance } from 'fastest-levenshtein';

/** `; did you mean "every"?`, or nothing where no known word is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  const best = nearest(word, known);
  return best === null ? '' : `; did you mean "${best}"?`;
}

/** Near: a third of the letters may differ, or another part. Case and the signs between words do not count. */
function nearest(word: string, known: readonly string[], part = 1 / 3): string | null {
  const wanted = plain(word);
  let best: string | null = null;
  let least = Math.max(1, Math.ceil(wanted.length * part)) + 1;
  for (const candidate of known) {
    const differing = distance(wanted, plain(candidate));
    if (differing >= least) continue;
    best = candidate;
    least = differing;
  }
  return best;
}

/** A zone is also found by its city alone. */
export function nearestTimezone(word: string): string | null {
  const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')];
  const city = (zone: string) => zone.slice(zone.lastIndexOf('/') + 1);
  const best = nearest(word, zones);
  if (best !== null) return best;
  const bestCity = nearest(city(word), zones.map(city), 1 / 6);
  return zones.find((zone) => city(zone) === bestCity) ?? null;
}

function plain(word: string): string {
  return word.toLowerCase().replace(/[-_ ]/g, '');
}
