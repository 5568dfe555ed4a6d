/** An option of `node` that shifts the clock of the process. */
export function shiftedClock(ms: number): string {
  const preload = `
const Right = Date;
globalThis.Date = class extends Right {
  constructor(...parts) {
    super(...(parts.length === 0 ? [Right.now() + ${ms}] : parts));
  }
  static now() {
    return Right.now() + ${ms};
  }
};`;
  return `--import=data:text/javascript,${encodeURIComponent(preload)}`;
}
