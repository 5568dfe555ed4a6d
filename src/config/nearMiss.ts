/**
 * Suggestions for misspelt names. A suggestion is made only for a near miss, because a wrong one is worse than none: it
 * may name another group. Every part of the program that suggests a name uses this.
 */
import { levenshtein } from '../packages.ts';

const maxMistakes = 2;

/** `; did you mean "every"?`, or nothing if no known name is a near miss. */
export function didYouMean(word: string, known: readonly string[]): string {
  return suggestion(nearest(word, known));
}

/** A time zone may also be meant by its city alone. */
export function didYouMeanTimezone(word: string): string {
  const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')];
  const cityOf = (zone: string) => zone.slice(zone.lastIndexOf('/') + 1);
  const zone = nearest(word, zones);
  if (zone !== null) return suggestion(zone);
  const city = nearest(cityOf(word), zones.map(cityOf));
  return suggestion(zones.find((one) => cityOf(one) === city) ?? null);
}

/**
 * The nearest name, if at most two letters and at most a third of them differ. Two letters in the wrong order are one
 * mistake. Case and separators do not count. A name with another number in it is another name, not a misspelt one.
 */
export function nearest(word: string, known: readonly string[]): string | null {
  const wanted = lettersOf(word);
  let best: string | null = null;
  let fewest = maxMistakes + 1;
  for (const candidate of known) {
    const letters = lettersOf(candidate);
    if (Math.abs(letters.length - wanted.length) >= fewest) continue;
    const mistakes = isSwap(wanted, letters) ? 1 : levenshtein().distance(wanted, letters);
    if (mistakes >= fewest || mistakes * 3 > Math.max(wanted.length, letters.length)) continue;
    if (hasOtherNumber(wanted, letters)) continue;
    best = candidate;
    fewest = mistakes;
  }
  return best;
}

/** Whether two neighbouring letters are in the wrong order, and all others are right. */
function isSwap(one: string, other: string): boolean {
  if (one.length !== other.length) return false;
  const at = [...one].findIndex((letter, index) => letter !== other[index]);
  return at !== -1 && one.slice(0, at) + one[at + 1] + one[at] + one.slice(at + 2) === other;
}

function lettersOf(text: string): string {
  return text.toLowerCase().replace(/[-_ ]/g, '');
}

function hasOtherNumber(one: string, other: string): boolean {
  const [first, second] = [one, other].map((text) => text.replace(/\D/g, ''));
  return first !== '' && second !== '' && first !== second;
}

function suggestion(best: string | null): string {
  return best === null ? '' : `; did you mean "${best}"?`;
}
