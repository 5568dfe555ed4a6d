/** For a process whose clock is wrong: an option of `node`, by which whatever asks for the time gets another one. */
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
