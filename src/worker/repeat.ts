/** Runs a task again and again, `ms` after it last ended, so never twice at once; what goes wrong is only told. */
export function repeat(
  ms: number,
  task: () => Promise<void>,
  onError: (error: unknown) => void,
): { /** Waits for a run that is under way. */ stop(): Promise<void> } {
  let running = Promise.resolve();
  let stopped = false;
  const run = () => {
    running = task()
      .catch(onError)
      .then(() => {
        if (!stopped) timer = setTimeout(run, ms);
      });
  };
  let timer = setTimeout(run, ms);
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
