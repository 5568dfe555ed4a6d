import { expect, it } from 'vitest';
import type { Fault } from '../../dev/standin/faults.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Five slots in fifteen seconds: the last of fifty one-offs gets a retry time more than two minutes away. */
const limit = { limit: 5, perMs: 15_000 };
const oneOffs = 50;
const scheduled = `g${oneOffs}`;
const entry = (i: number) => `  - { id: g${i}, identifier: "${jids[i]}", every: 1h, firstSeen: wait }`;
const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 5, per: 15s, reserve: 1 } }]
groups:
${Array.from({ length: oneOffs + 1 }, (_, i) => entry(i)).join('\n')}
verify: off`;

/** As many one-offs wait for a slot as ten windows serve, and one group is due behind them. `fault`: of the first reset. */
async function startSaturated(fault?: Fault) {
  const rig = await makeRig({
    yaml: yaml.replaceAll('every: 1h', 'every: 1h, enabled: false'),
    standIn: { limit, groups: jids.map((jid) => ({ jid })) },
  });
  const service = await rig.start();
  for (let i = 0; i <= oneOffs; i++) await rig.change(`g${i}`, { adopt: false, readDueAt: null });
  if (fault !== undefined) rig.standIn.faults.next(fault, { endpoint: 'reset' });
  const jobs = await rig
    .queue('bot')
    .addBulk(Array.from({ length: oneOffs }, (_, i) => ({ name: 'rotate', data: { group: `g${i}` } })));
  await until('all to wait for a slot', async () => {
    const waiting = await rig.queue('bot').getJobCounts('wait', 'active');
    return waiting.wait === 0 && waiting.active === 0;
  });
  return {
    ...rig,
    jobs,
    async makeDue() {
      rig.edit(yaml);
      service.reload();
      await until('the edit', async () => (await rig.record(scheduled)).dueAt !== null);
      await rig.lapse(scheduled, Date.now() - 60_000);
    },
  };
}
const resets = (rig: { standIn: Awaited<ReturnType<typeof makeRig>>['standIn'] }) =>
  rig.standIn.log.of({ endpoint: 'reset', status: 200 });

it('promotes jobs that wait behind cancelled one-offs as soon as slots are free', async () => {
  const rig = await startSaturated();
  const last = rig.jobs.at(-1)!;
  for (const job of rig.jobs.slice(0, -1)) if (await job.isDelayed()) await job.remove();
  await until('the last one-off', () => last.isCompleted());
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});

it('keeps releasing scheduled work while cancelled one-offs are on the wait list', async () => {
  const rig = await startSaturated();
  for (const job of rig.jobs) if (await job.isDelayed()) await job.remove();
  await rig.makeDue();
  await until('the scheduled rotation', () => resets(rig).some(({ jid }) => jid === jids[oneOffs]));
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});

it('reads a lost answer back with one of the first free slots, before the one-offs that wait', async () => {
  const rig = await startSaturated({ kind: 'cut', effect: true });
  const [lost] = rig.standIn.log.of({ endpoint: 'reset', status: null });
  const nextWindow = () => rig.standIn.log.all.slice(limit.limit, 2 * limit.limit);
  await until('the next window', () => nextWindow().length === limit.limit);
  expect(nextWindow()).toContainEqual(expect.objectContaining({ endpoint: 'info', jid: lost?.jid }));
});

it('reads a lost answer back before the one-offs that wait for a slow API', async () => {
  const count = 40;
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN, concurrency: 1 }]
groups:
${Array.from({ length: count }, (_, i) => entry(i)).join('\n')}
verify: off`,
    standIn: { groups: jids.map((jid) => ({ jid })) },
  });
  await rig.start();
  await rig.adopted(`g${count - 1}`);
  rig.standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset' });
  rig.standIn.faults.random(({ endpoint }) => (endpoint === 'reset' ? { kind: 'slow', ms: 250 } : null));
  const oneOffs = Array.from({ length: count }, (_, i) => ({ name: 'rotate', data: { group: `g${i}` } }));
  await rig.queue('bot').addBulk(oneOffs);
  await until('the recovery', () => rig.events.some(({ reason }) => reason === 'recovery'));
  const made = rig.events.filter(({ reason }) => reason === 'request');
  expect(made.length).toBeLessThan(count - 5);
});
