/** The worker restores what was deleted, drained or silenced. It only reports what was paused. */
import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { pausedQueues } from '../../src/bullmq/counts.ts';
import { queuesOf } from '../../src/contract/queueNames.ts';
import { readStatus } from '../../src/status/status.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 1h }]
verify: off`;

async function started() {
  const rig = await makeRig({ yaml });
  const service = await rig.start();
  await rig.adopted('vip');
  const queue = (name: string) => {
    const opened = new Queue(name, { connection: rig.redis, prefix: rig.prefix, skipMetasUpdate: true });
    onTestFinished(() => opened.close());
    return opened;
  };
  const logged = (event: string) => rig.logged.filter((line) => line.event === event);
  return { rig, service, queue, plans: queue('rotation-planner'), logged };
}

/** Two ticks, so that the scheduler works and not only what set it up. */
async function ticksGoOn({ redis, keys }: Rig): Promise<void> {
  const seen = new Set([await redis.get(keys.lastTick)]);
  await until('two ticks', async () => seen.add(await redis.get(keys.lastTick)).size > 2);
}

it.each<[string, string, (plans: Queue, rig: Rig) => Promise<unknown>]>([
  ['was deleted', 'plan.unscheduled', (plans) => plans.removeJobScheduler('plan')],
  ['was obliterated with its queue', 'plan.unscheduled', (plans) => plans.obliterate({ force: true })],
  // As a dashboard or a bug may: its next job is gone, and it looks intact.
  ['has gone silent', 'plan.late', (plans, { redis, prefix }) => redis.del(`${prefix}:${plans.name}:delayed`)],
])('sets the planner going again when its scheduler %s, and says so once', async (_how, event, harm) => {
  const { rig, plans, logged } = await started();
  await harm(plans, rig);
  await ticksGoOn(rig);
  expect(await plans.getJobScheduler('plan')).toMatchObject({ every: 5_000 });
  expect(logged(event)).toHaveLength(1);
});

it('releases scheduled work again after it was obliterated with its queue', async () => {
  const { rig } = await started();
  await rig.queue('bot').pause();
  await rig.lapse('vip', 1);
  await until('the job', async () => (await rig.queue('bot').getPrioritizedCount()) === 1);
  await rig.queue('bot').obliterate({ force: true });
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
});

it('reports every paused queue until it is resumed, and then continues', async () => {
  const { rig, service, queue, logged } = await started();
  const names = ['rotation-planner', 'rotations-bot', 'invite-links'];
  for (const name of names) await queue(name).pause();
  await until('the worker to notice', () => service.health().paused.length === 3);
  expect(service.health().paused).toEqual(names);
  expect((await readStatus(rig, service.config)).paused).toEqual(names);
  await until('a second look', () => logged('queue.paused').length >= 3);
  expect(logged('queue.paused').map((line) => line.queue)).toEqual(names);

  const asked = rig.ask('bot', { group: 'vip' });
  for (const name of names) await queue(name).resume();
  expect(await asked).toMatchObject({ status: 'rotated' });
  await rig.later('vip');
  await until('the worker to notice', () => service.health().paused.length === 0);
  expect(logged('queue.resumed').map((line) => line.queue)).toEqual(names);
  await ticksGoOn(rig);
  expect(await pausedQueues(rig.redis, rig.prefix, queuesOf(service.config))).toEqual([]);
  expect([...logged('plan.late'), ...logged('plan.unscheduled')]).toEqual([]);
});
