/** A BullMQ worker whose command was lost hangs and takes no more jobs. The watchdog recreates it. */
import type { Command } from 'ioredis';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { bot, file, group } from '../support/edited.ts';
import { makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** A connection that can lose the commands by which a worker takes a job: neither an answer nor an error comes. */
class LossyRedis extends Redis {
  loses = false;
  lost = 0;
  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    const takes = command.args.some((arg) => /rotations-bot:limiter$/.test(String(arg)));
    const isEval = command.name.startsWith('eval');
    if (!this.loses || !takes || !isEval) return super.sendCommand(command, stream);
    this.lost++;
    return new Promise(() => {});
  }
}

async function running() {
  const lossy = new LossyRedis(inject('redisUrl'), { maxRetriesPerRequest: null });
  onTestFinished(() => lossy.disconnect());
  const rig = await makeRig({ yaml: file(bot, group('vip', 0)) });
  await rig.start(lossy);
  await rig.adopted('vip');
  const recreated = () => rig.logged.filter(({ event }) => event === 'worker.recreated').length;
  return { rig, lossy, recreated };
}

it('recreates the worker, logs that once, and continues', async () => {
  const { rig, lossy, recreated } = await running();
  lossy.loses = true;
  const asked = await rig.queue('bot').add('rotate', { group: 'vip' });
  await until('the command to be lost', () => lossy.lost > 0);
  lossy.loses = false;
  await until('the one-off to be done', () => asked.isCompleted());
  expect(recreated()).toBe(1);
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(recreated()).toBe(1);
});
