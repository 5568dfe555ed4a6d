/** A progress bar on standard error, for work that takes minutes. */
import { cliProgress } from '../packages.ts';
import { span } from '../status/format.ts';
import { print } from './output.ts';

export interface Progress {
  /** Counts one more finished item. */
  step(ok: boolean): void;
  /** Writes above the bar if the stream is a terminal. */
  write(stream: NodeJS.WriteStream, text: string): Promise<void>;
  /** Removes the bar, and shows the cursor again. */
  stop(): void;
}

const format = '{bar} {value} of {total} done, {failed} failed{left}';
/** For the text beside the bar. */
const textWidth = 48;
const tickMs = 1_000;

/** Shows no bar if standard error is not a terminal. `takesMs`: how long it will probably take, if that is known. */
export function showProgress(total: number, takesMs: number | null = null): Progress {
  if (!process.stderr.isTTY) return { step() {}, write: writePlain, stop() {} };
  const barsize = Math.min(Math.max(process.stderr.columns - textWidth, 10), 40);
  const { MultiBar, Presets } = cliProgress();
  const bars = new MultiBar({ format, barsize, stream: process.stderr, hideCursor: true }, Presets.shades_classic);
  const startedAt = performance.now();
  const leftText = () => {
    const leftMs = takesMs === null ? 0 : takesMs - (performance.now() - startedAt);
    return leftMs < tickMs ? '' : `, about ${span(leftMs)} left`;
  };
  let failed = 0;
  const bar = bars.create(total, 0, { failed, left: leftText() });
  const timer = setInterval(() => bar.update({ failed, left: leftText() }), tickMs);
  let isStopped = false;
  const stop = () => {
    if (isStopped) return;
    isStopped = true;
    clearInterval(timer);
    process.off('exit', stop);
    bars.stop();
  };
  // However the process ends, the cursor is shown again.
  process.on('exit', stop);
  return {
    step(ok) {
      if (!ok) failed += 1;
      bar.increment(1, { failed, left: leftText() });
    },
    async write(stream, text) {
      if (!stream.isTTY) return await writePlain(stream, text);
      bars.log(text);
      // Now: the text would be lost if the bar stopped before its next update.
      bars.update();
    },
    stop,
  };
}

/** Without a bar. */
export async function writePlain(stream: NodeJS.WriteStream, text: string): Promise<void> {
  if (stream === process.stdout) await print(text);
  else stream.write(text);
}
