/** Two workers are replaced by new ones, one after the other, while work continues. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { logged, type Run } from '../support/cli.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { jids, makeRig } from './rig.ts';

type Answer = 'ready' | 'redis' | 'ticks' | 'jobs' | 'stopping' | 'gone';

/** Polls whether a worker is ready, from the time its pages are served until they are gone. */
function watchReadiness(url: string) {
  /** Each change, oldest first. */
  const answers: Answer[] = [];
  let over = false;
  onTestFinished(() => {
    over = true;
  });
  const ask = async (): Promise<Answer> => {
    const answered = await fetch(`${url}/readyz`)
      .then(async (response) => ({ status: response.status, body: await response.json() }))
      .catch(() => null);
    if (answered === null) return 'gone';
    const { ready, reasons } = answered.body as { ready: boolean; reasons: Answer[] };
    expect(answered.status).toBe(ready ? 200 : 503);
    return ready ? 'ready' : reasons[0]!;
  };
  const watching = (async () => {
    while (!over && answers.at(-1) !== 'gone') {
      const answer = await ask();
      if (answer !== answers.at(-1)) answers.push(answer);
      await sleep(10);
    }
  })();
  return { answers, watching, isReady: () => answers.at(-1) === 'ready' };
}

it('replaces two workers under load: nothing is done twice or lost, one is always ready, and each reports its state', async () => {
  const rig = await makeRig(testRedis(), createFaultProxy, {
    latency: { minMs: 50, maxMs: 150 },
    limit: { limit: 10_000 },
    instance: ', concurrency: 1, rateLimit: { max: 10000 }',
    api: 'timeout: 10s',
    settleTime: '10s',
    ops: '{ port: 0 }',
  });
  const start = async () => {
    const worker = rig.start();
    const { url } = await logged(worker, 'ops.listening');
    return { worker, ...watchReadiness(String(url)) };
  };
  type Watched = Awaited<ReturnType<typeof start>>;
  const ready = ({ isReady, answers }: Watched) => until(() => `a worker to be ready; it said ${answers}`, isReady);
  const running = await Promise.all([start(), start()]);
  await Promise.all(running.map(ready));
  await rig.adopted(...jids.keys());

  // The first call of all is made alone.
  const pushed: Job[] = [await rig.ask('g0')];
  await rig.end(pushed[0]!);
  /** How often none of the workers was ready. */
  let unready = 0;
  let loaded = true;
  const load = (async () => {
    for (let i = 0; loaded; i++) {
      pushed.push(await rig.ask(`g${i % jids.length}`));
      if (!running.some(({ isReady }) => isReady())) unready += 1;
      await sleep(300);
    }
  })();
  onTestFinished(() => {
    loaded = false;
  });

  const replaced: Watched[] = [];
  const end = async ({ worker }: { worker: Run }) => {
    // Each worker makes one call at a time, and both are in the middle of one.
    rig.standIn.faults.random(() => ({ kind: 'slow', ms: 1_500 }));
    await until('a slow call of each', () => {
      const slow = rig.standIn.log.inFlightAt(Date.now()).filter(({ fault }) => fault === 'slow');
      return slow.length === running.length;
    });
    rig.standIn.faults.random(null);
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
  };
  for (const index of [0, 1]) {
    const old = running[index]!;
    await end(old);
    await old.watching;
    replaced.push(old);
    running[index] = await start();
    await ready(running[index]);
  }
  loaded = false;
  await load;
  await until('all jobs to be done', async () =>
    (await Promise.all(pushed.map((job) => job.isCompleted()))).every(Boolean),
  );
  expect(unready).toBe(0);
  for (const { answers } of replaced) {
    expect(answers.filter((answer) => answer !== 'redis' && answer !== 'ticks')).toEqual(['ready', 'stopping', 'gone']);
    expect(answers.indexOf('ready')).toBeGreaterThan(answers.lastIndexOf('ticks'));
    expect(answers.indexOf('ready')).toBeGreaterThan(answers.lastIndexOf('redis'));
  }
  for (const { answers } of running) expect(answers.at(-1)).toBe('ready');
  // One reset answers every earlier one-off: as many calls as jobs that made one, as many events as calls.
  const ends = await Promise.all(pushed.map(async ({ id }) => (await rig.queue.getJob(id!))!.returnvalue.status));
  const resets = ends.filter((status) => status === 'rotated').length;
  expect(new Set(ends)).toEqual(new Set(['rotated', 'satisfied']));
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(resets);
  expect(rig.standIn.log.of({ endpoint: 'info' })).toHaveLength(jids.length);
  await until('every event', () => rig.events.length === resets + jids.length);
  for (const group of jids.keys()) await rig.expectLive(group);
});
