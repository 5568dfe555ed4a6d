import { expect, it, onTestFinished, vi } from 'vitest';
import { reporter, singleFlight } from '../../src/worker/tasks.ts';
import { testLog } from './logged.ts';

/** A task whose runs end when the test says so. */
function controlledTask() {
  const ends: ((error?: Error) => void)[] = [];
  const running = { now: 0, max: 0 };
  const run = singleFlight(async () => {
    running.now++;
    running.max = Math.max(running.max, running.now);
    try {
      await new Promise<void>((resolve, reject) => ends.push((error) => (error ? reject(error) : resolve())));
    } finally {
      running.now--;
    }
  });
  /** Ends the current run, and lets a waiting one begin. */
  const end = async (error?: Error) => {
    ends.at(-1)?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { run, end, running, started: () => ends.length };
}

it('runs a task once more for all the calls that come during a run', async () => {
  const { run, end, running, started } = controlledTask();
  const first = run();
  const later = [run(), run()];
  await end();
  await first;
  expect(started()).toBe(2);
  later.push(run());
  await end();
  await Promise.all(later.slice(0, 2));
  expect(started()).toBe(3);
  await end();
  await Promise.all(later);
  expect([started(), running.max]).toEqual([3, 1]);
});

it('reports a failed run only to the callers of that run', async () => {
  const { run, end } = controlledTask();
  const first = run();
  const second = run();
  const failed = expect(first).rejects.toThrow('OOM');
  await end(new Error('OOM'));
  await failed;
  await end();
  await second;
});

function reporting() {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { log, logged } = testLog();
  const report = reporter(log, 'queue.error', 'a queue or its worker failed');
  return { report, logged, pass: (ms: number) => void vi.advanceTimersByTime(ms) };
}

it('logs each kind of error once a minute, whatever job it is about', () => {
  const { report, logged, pass } = reporting();
  for (const id of [1, 2, 3]) report(new Error(`no job ${id}`), { source: 'bot' });
  report(new Error('no job 4'), { source: 'bot2' });
  expect(logged.map(({ source, msg }) => [source, msg])).toEqual([
    ['bot', 'a queue or its worker failed: no job 1'],
    ['bot2', 'a queue or its worker failed: no job 4'],
  ]);
  pass(59_000);
  report(new Error('no job 5'), { source: 'bot' });
  expect(logged).toHaveLength(2);
  pass(1_000);
  report(new Error('no job 6'), { source: 'bot' });
  expect(logged).toHaveLength(3);
});

it('leaves errors of the connection to the Redis client', () => {
  const { report, logged } = reporting();
  report(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
  report(new Error('could not renew lock for job 17'));
  expect(logged).toEqual([]);
});
