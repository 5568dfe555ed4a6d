/** Text for people, in terminals and on pages. */

/** `3d 4h`, `12m 5s`: the two largest units. */
export function span(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const units: [string, number][] = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3_600) % 24],
    ['m', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ];
  const first = units.findIndex(([, count]) => count > 0);
  if (first === -1) return '0s';
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count}${unit}`)
    .join(' ');
}

/** `in 3h`, `5m ago`. */
export function whenFrom(ms: number): string {
  return ms >= 0 ? `in ${span(ms)}` : `${span(-ms)} ago`;
}
