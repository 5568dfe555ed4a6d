/** Durations as people write them: `250ms`, `30s`, `5m`, `6h`, `7d`. */

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof units;

export const durationPattern = /^(\d{1,9})(ms|s|m|h|d)$/;

/** In milliseconds; null if the text is not a duration. */
export function parseDuration(text: string): number | null {
  const match = durationPattern.exec(text.trim());
  if (match === null) return null;
  return Number(match[1]) * units[match[2] as Unit];
}

/** Exact, with the largest unit that fits: 90000 → `90s`, 3600000 → `1h`. */
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
