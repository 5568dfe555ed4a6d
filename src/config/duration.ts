/** Durations as people write them: `250ms`, `30s`, `5m`, `6h`, `7d`, `1w`. */
import { describeValue } from './problems.ts';

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 } as const;
type Unit = keyof typeof units;

export const durationPattern = /^(\d{1,9})(ms|s|m|h|d|w)$/;

/** In milliseconds; null if the text is not a duration. */
export function parseDuration(text: string): number | null {
  const match = durationPattern.exec(text.trim());
  if (match === null) return null;
  return Number(match[1]) * units[match[2] as Unit];
}

/** What was found instead of a duration, and if it is clear what was meant, how to write that. */
export function durationProblem(found: unknown): string {
  const hint = typeof found === 'number' || typeof found === 'string' ? durationHint(String(found)) : '';
  return `expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found ${describeValue(found)}${hint}`;
}

/** `; write 7d` for `7 days`; empty if it is not clear what was meant. */
export function durationHint(found: string): string {
  const text = found.trim();
  if (/^\d{1,9}$/.test(text)) return `: add a unit, as in ${Number(text)}s or ${Number(text)}m`;
  const ms = readLoosely(text);
  return ms !== null && ms > 0 && Number.isInteger(ms) ? `; write ${formatDuration(ms)}` : '';
}

const looseUnits: readonly (readonly [RegExp, Unit])[] = [
  [/^(ms|msecs?|millis|milliseconds?)$/, 'ms'],
  [/^(s|secs?|seconds?)$/, 's'],
  [/^(m|mins?|minutes?)$/, 'm'],
  [/^(h|hrs?|hours?)$/, 'h'],
  [/^(d|days?)$/, 'd'],
  [/^(w|wks?|weeks?)$/, 'w'],
];

/** Reads `7 days`, `1h30m`, `1.5h` or `P1DT12H`, in milliseconds. Null if it is none of them. */
function readLoosely(text: string): number | null {
  const iso = /^p(?=[\dt])([\d.wd]*)(?:t([\d.hms]+))?$/i.exec(text);
  const plain = iso === null ? text : `${iso[1]}${iso[2] ?? ''}`;
  if (!/^(\d{1,9}([.,]\d{1,3})?\s*[a-z]+[\s,]*)+$/i.test(plain)) return null;
  let ms = 0;
  for (const [, amount = '', word = ''] of plain.matchAll(/([\d.,]*\d)\s*([a-z]+)/gi)) {
    const unit = looseUnits.find(([pattern]) => pattern.test(word.toLowerCase()))?.[1];
    if (unit === undefined) return null;
    ms += Number(amount.replace(',', '.')) * units[unit];
  }
  return Math.round(ms * 1e3) / 1e3;
}

/** Exact, with the largest unit up to days that fits: 90000 → `90s`, 3600000 → `1h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  const unit = (['d', 'h', 'm', 's', 'ms'] as const).find((name) => ms % units[name] === 0) ?? 'ms';
  return `${ms / units[unit]}${unit}`;
}

/** Rounded up to a number that is easy to read, in seconds or a larger unit: 1333400 → `23m`. */
export function formatDurationUp(ms: number): string {
  const unit = (['d', 'h', 'm'] as const).find((name) => ms >= 10 * units[name]) ?? 's';
  return `${Math.ceil(ms / units[unit] - 1e-9)}${unit}`;
}

const largest = ['d', 'h', 'm', 's'] as const;

/** In its two largest units, rounded up: 9000000 → `2h 30m`. */
export function formatDurationLong(ms: number): string {
  const i = Math.min(
    Math.max(
      largest.findIndex((unit) => ms >= units[unit]),
      0,
    ),
    largest.length - 2,
  );
  const [large, small] = [units[largest[i] ?? 'm'], units[largest[i + 1] ?? 's']];
  const total = Math.ceil(ms / small - 1e-9);
  const [whole, rest] = [Math.floor((total * small) / large), total % (large / small)];
  const parts = [`${whole}${largest[i]}`, `${rest}${largest[i + 1]}`].filter((part) => !part.startsWith('0'));
  return parts.join(' ') || '0s';
}
