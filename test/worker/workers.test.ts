import type { Job } from 'bullmq';
import { type Command, Redis } from 'ioredis';
import { expect, inject, it, onTestFinished, vi } from 'vitest';
import { openQueue } from '../../src/bullmq/queues.ts';
import { openWatchedWorker } from '../../src/worker/watchedWorker.ts';
import { createWorkers } from '../../src/worker/workers.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { testBase } from './testBase.ts';

/** A connection that can lose the commands by which workers take jobs off some queues: neither an answer nor an error comes. */
class LossyRedis extends Redis {
  queues: readonly string[] = [];
  lost = 0;
  /** Rejects what was lost. Until then, the workers that sent it cannot close. */
  readonly endings: (() => void)[] = [];
  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    const isLost = this.queues.some((queue) => command.args.some((arg) => String(arg).endsWith(`:${queue}:limiter`)));
    if (!isLost || !command.name.startsWith('eval')) return super.sendCommand(command, stream);
    this.lost++;
    return new Promise((_, reject) => {
      this.endings.push(() => reject(new Error('Connection is closed.')));
    });
  }
}

async function running() {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { prefix } = testRedis();
  const redis = new LossyRedis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const { base, logged } = await testBase(redis, prefix);
  const done: string[] = [];
  let finish = Promise.resolve();
  const processJob = async (_instance: string, _queue: unknown, job: Job) => {
    await finish;
    done.push(job.name);
  };
  const workers = createWorkers(base, {
    processJob,
    plan: () => {
      done.push('plan');
      return Promise.resolve();
    },
  });
  workers.serve(base.config().instances);
  workers.serveLeftovers(['renamed']);
  workers.startPlanner();
  onTestFinished(async () => {
    for (const end of redis.endings) end();
    await workers.close();
    await base.closeQueues();
    redis.disconnect();
  });
  /** As the watchdog does every ten seconds, without an outage of Redis. */
  const watch = async (ms: number) => {
    vi.advanceTimersByTime(ms);
    await workers.watch(() => false);
  };
  const block = () => {
    let unblock = () => {};
    finish = new Promise((resolve) => {
      unblock = resolve;
    });
    return unblock;
  };
  const queues = { instance: base.queueOf('bot'), leftover: base.queueOf('renamed'), planner: base.plans };
  const recreated = () => logged.filter(({ event }) => event === 'worker.recreated');
  return { redis, workers, queues, done, watch, block, recreated };
}

it.each([
  ['instance', { instance: 'bot' }],
  ['leftover', { instance: 'renamed' }],
  ['planner', { queue: 'rotation-planner' }],
] as const)('creates a hung worker again: %s', async (kind, named) => {
  const { redis, queues, done, watch, recreated } = await running();
  redis.queues = [queues[kind].name];
  await queues[kind].add('plan', {});
  await until('the command to be lost', () => redis.lost > 0);
  redis.queues = [];
  await watch(0);
  await watch(29_000);
  expect(recreated()).toEqual([]);
  await watch(1_000);
  await until('the job to be done', () => done.includes('plan'));
  expect(recreated()).toMatchObject([named]);
});

it('calls an instance stuck when its jobs have waited for a minute, not counting outages', async () => {
  const { redis, workers, queues, done, watch } = await running();
  redis.queues = [queues.instance.name, queues.leftover.name];
  await queues.instance.add('rotate', {});
  await queues.leftover.add('rotate', {});
  await until('the commands to be lost', () => redis.lost > 1);
  redis.queues = [];
  await watch(0);
  vi.advanceTimersByTime(60_001);
  await workers.watch(() => true);
  expect(workers.stuck()).toEqual([]);
  await watch(60_001);
  expect(workers.stuck()).toEqual(['bot']);
  await until('the jobs to be done', () => done.length === 2);
  await watch(0);
  expect(workers.stuck()).toEqual([]);
});

it('does not recreate a worker that runs a job', async () => {
  const { queues, done, workers, watch, block, recreated } = await running();
  const unblock = block();
  await queues.instance.addBulk(Array.from({ length: 20 }, () => ({ name: 'rotate', data: {} })));
  await until('a job to run', () => workers.jobsRunning() > 0);
  await watch(0);
  await watch(90_000);
  expect(recreated()).toEqual([]);
  unblock();
  await until('all jobs to be done', () => done.length === 20);
});

it('serves a queue again while its former worker hangs', async () => {
  const { redis, workers, queues, done } = await running();
  redis.queues = [queues.leftover.name];
  await queues.leftover.add('rotate', {});
  await until('the command to be lost', () => redis.lost > 0);
  redis.queues = [];
  // A worker that hangs never closes.
  workers.serveLeftovers([]);
  workers.serveLeftovers(['renamed']);
  await until('the job to be done', () => done.includes('rotate'));
});

it('does not create a worker again that was closed while its jobs were counted', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { redis, prefix } = testRedis();
  const queue = openQueue('rotations-bot', { redis, prefix });
  const onRecreated = vi.fn();
  const process = () => Promise.resolve();
  const worker = openWatchedWorker({ redis, prefix, queue, concurrency: 1, process, onError: () => {}, onRecreated });
  worker.watch(true, false);
  vi.advanceTimersByTime(30_000);
  await worker.close();
  worker.watch(true, false);
  expect(onRecreated).not.toHaveBeenCalled();
  await queue.close();
});
