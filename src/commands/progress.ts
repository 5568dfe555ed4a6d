/** A bar on standard error for work that takes minutes: done, failed, and about how long it still takes. */
import { MultiBar, Presets } from 'cli-progress';

export interface Progress {
  /** One more has ended. */
  step(ok: boolean): void;
  /** Writes above the bar, if there is one on the same terminal. */
  write(stream: NodeJS.WriteStream, text: string): void;
  stop(): void;
}

const format = '{bar} {value} of {total} done, {failed} failed, {eta_formatted} left';

/** Without a terminal there is no bar. */
export function showProgress(total: number): Progress {
  if (!process.stderr.isTTY) return { step() {}, write: (stream, text) => void stream.write(text), stop() {} };
  const bars = new MultiBar(
    { format, stream: process.stderr, hideCursor: true, etaBuffer: 100 },
    Presets.shades_classic,
  );
  let failed = 0;
  const bar = bars.create(total, 0, { failed });
  return {
    step(ok) {
      if (!ok) failed += 1;
      bar.increment(1, { failed });
    },
    write(stream, text) {
      if (!stream.isTTY) return void stream.write(text);
      bars.log(text);
      // At once: it is forgotten if the bar ends before its next turn.
      bars.update();
    },
    stop: () => bars.stop(),
  };
}
