/** A progress bar on standard error, for work that takes minutes. */
import { MultiBar, Presets } from 'cli-progress';

export interface Progress {
  /** Counts one more finished item. */
  step(ok: boolean): void;
  /** Writes above the bar if the stream is a terminal. */
  write(stream: NodeJS.WriteStream, text: string): void;
  stop(): void;
}

const format = '{bar} {value} of {total} done, {failed} failed, {eta_formatted} left';

/** Shows no bar if standard error is not a terminal. */
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
      // Now: the text would be lost if the bar stopped before its next update.
      bars.update();
    },
    stop: () => bars.stop(),
  };
}
