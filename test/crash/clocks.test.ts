/** A worker whose machine's clock is wrong by ten minutes, beside one whose clock is right: real processes, one Redis. */
import { describe, expect, it } from 'vitest';
import { logged, type Run } from '../support/cli.ts';
import { testRedis } from '../support/redis.ts';
import { shiftedClock } from '../support/shiftedClock.ts';
import { until } from '../support/until.ts';
import { type CrashOptions, makeRig, noProxy } from './rig.ts';

const tenMinutesMs = 600_000;
const wrongClocks = [
  ['ahead', tenMinutesMs],
  ['behind', -tenMinutesMs],
] as const;

async function makeClockRig(shiftMs: number, options: CrashOptions = {}) {
  const base = testRedis();
  const rig = await makeRig({ ...base, url: null, env: { REDIS_URL: base.url } }, noProxy, options);
  return { ...rig, startWrong: () => rig.start({ NODE_OPTIONS: shiftedClock(shiftMs) }) };
}

const waits = (...workers: Run[]) =>
  workers.flatMap((worker) => worker.json().filter(({ event }) => event === 'rotation.waits'));

async function end(worker: Run): Promise<void> {
  worker.child.kill('SIGKILL');
  await worker.ended;
}

describe.each(wrongClocks)('a clock that is ten minutes %s', (_name, shiftMs) => {
  it('does not prolong the delay of jobs that the worker has delayed', async () => {
    const rig = await makeClockRig(shiftMs);
    const wrong = rig.startWrong();
    const { time } = await logged(wrong, 'started');
    expect(Math.abs(Date.parse(String(time)) - Date.now() - shiftMs)).toBeLessThan(60_000);
    const { aheadMs } = await logged(wrong, 'clock.wrong');
    expect(Math.abs(Number(aheadMs) - shiftMs)).toBeLessThan(60_000);
    await rig.adopted(0);
    rig.standIn.faults.next({ kind: 'serverError', effect: false, status: 503 }, { endpoint: 'reset' });
    const job = await rig.ask('g0');
    await until('a retry', async () => await job.isDelayed());
    await end(wrong);
    const right = rig.start();
    expect(await rig.end(job)).toBe('completed');
    await end(right);
  });

  it('takes no delayed job before its time', async () => {
    const rig = await makeClockRig(shiftMs, {
      instance: ', rateLimit: { max: 4, per: 5s, reserve: 0 }',
      limit: { limit: 4, perMs: 5_000 },
    });
    const workers = [rig.start(), rig.startWrong()];
    for (const worker of workers) await logged(worker, 'started');
    await rig.adopted(0, 1, 2, 3);
    const before = waits(...workers).length;
    const jobs = [];
    for (const group of [0, 1, 2, 3, 0, 1, 2, 3])
      jobs.push(await rig.ask(`g${group}`, { jobId: `job-${jobs.length}` }));
    for (const job of jobs) expect(await rig.end(job)).toBe('completed');
    // Each waits for its slot, and for the job of the same group before it.
    expect(waits(...workers).length - before).toBeLessThan(6 * jobs.length);
    expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
    await Promise.all(workers.map(end));
  });

  it('does not stop the planner when the worker ends', async () => {
    const rig = await makeClockRig(shiftMs);
    const wrong = rig.startWrong();
    await until('ticks', () => rig.ticks(wrong) > 2);
    await end(wrong);
    const right = rig.start();
    await until('ticks', () => rig.ticks(right) > 2);
    expect(right.json().filter(({ event }) => event === 'plan.late')).toEqual([]);
    await end(right);
  });
});
