/** A task that is run again and again, never twice at once; what goes wrong is only told. */
export interface Repeated {
  /** Runs it at once, or once more right after the run that is under way. */
  now(): void;
  /** Waits for a run that is under way. */
  stop(): Promise<void>;
}

/** Each run begins `ms` after the last one ended. */
export function repeat(ms: number, task: () => Promise<void>, onError: (error: unknown) => void): Repeated {
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let timer = setTimeout(run, ms);

  function run(): void {
    again = false;
    running = task()
      .catch(onError)
      .then(() => {
        running = null;
        if (!stopped) timer = setTimeout(run, again ? 0 : ms);
      });
  }
  return {
    now() {
      again = true;
      if (running !== null || stopped) return;
      clearTimeout(timer);
      run();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
