import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

it('sets the planner going again when its scheduler has gone silent, and says so', async () => {
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 1h }]
verify: off`,
  });
  await rig.start();
  await rig.event('vip');
  const plans = new Queue('rotation-planner', { connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => plans.close());
  await plans.removeJobScheduler('plan');
  await plans.drain(true);
  const silentSince = Date.now() - 60_000;
  await rig.redis.set(rig.keys.lastTick, silentSince);
  await until(
    'the planner to tick again',
    async () => Number(await rig.redis.get(rig.keys.lastTick)) > silentSince + 60_000,
  );
  expect(rig.logged.filter(({ event }) => event === 'plan.late')).toHaveLength(1);
  expect(await plans.getJobScheduler('plan')).toMatchObject({ every: 5_000 });
});
