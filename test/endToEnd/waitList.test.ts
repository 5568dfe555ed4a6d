import { expect, it } from 'vitest';
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

/** As many one-offs wait for a slot as ten windows serve, and one group is due behind them. */
async function startSaturated() {
  const rig = await makeRig({
    yaml: yaml.replaceAll('every: 1h', 'every: 1h, enabled: false'),
    standIn: { limit, groups: jids.map((jid) => ({ jid })) },
  });
  const service = await rig.start();
  for (let i = 0; i <= oneOffs; i++) await rig.change(`g${i}`, { adopt: false, readDueAt: null });
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

it('promotes jobs that wait behind cancelled one-offs as soon as slots are free', { timeout: 90_000 }, async () => {
  const rig = await startSaturated();
  const last = rig.jobs.at(-1)!;
  for (const job of rig.jobs.slice(0, -1)) if (await job.isDelayed()) await job.remove();
  await until('the last one-off', () => last.isCompleted());
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});

it('keeps releasing scheduled work while cancelled one-offs are on the wait list', { timeout: 90_000 }, async () => {
  const rig = await startSaturated();
  for (const job of rig.jobs) if (await job.isDelayed()) await job.remove();
  await rig.makeDue();
  await until('the scheduled rotation', () => resets(rig).some(({ jid }) => jid === jids[oneOffs]));
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});
