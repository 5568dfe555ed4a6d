/** A worker whose machine's clock, or Redis's, or both are set back while it runs. */

import { Queue } from 'bullmq';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createRotationClient } from '../../src/client/client.ts';
import { judge } from '../../src/ops/readiness.ts';
import { redisTime } from '../../src/redis/database.ts';
import { failCall } from '../support/gates.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { type ShiftedRedis, shiftedRedis } from '../support/virtualRedis.ts';

const realNow = Date.now;

async function started(limit = '') {
  let shifted: ShiftedRedis | null = null;
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN${limit} }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 7d, firstSeen: wait }]
verify: off`,
    seenAs: (redis, { dataset }) => {
      shifted ??= shiftedRedis(redis, `${dataset}:shift`);
      return shifted.redis;
    },
  });
  const service = await rig.start();
  await rig.adopted('vip');
  const clock = shifted as unknown as ShiftedRedis;
  const setBack = {
    redis: (ms: number) => clock.shift(-ms),
    machine: (ms: number) => {
      vi.spyOn(Date, 'now').mockImplementation(() => realNow() - ms);
    },
    both: async (ms: number) => {
      setBack.machine(ms);
      await setBack.redis(ms);
    },
  } as const;
  onTestFinished(() => void vi.restoreAllMocks());
  const client = createRotationClient({ connection: clock.redis, prefix: rig.prefix });
  onTestFinished(() => client.close());
  return { rig, service, setBack, redis: clock.redis, client };
}

it.each([
  ['both', 3_600_000],
  ['both', 120_000],
  ['redis', 3_600_000],
  ['machine', 3_600_000],
] as const)('continues and stays ready when the clock (%s) is set back by %i ms', async (whose, ms) => {
  const { rig, service, setBack, redis, client } = await started();
  const replaced = [(await client.rotate('vip')).inviteCode];
  const requestedBefore = await redisTime({ ...rig, redis });
  await setBack[whose](ms);

  const seen = new Set([await rig.redis.get(rig.keys.lastTick)]);
  await until('three ticks', async () => seen.add(await rig.redis.get(rig.keys.lastTick)).size > 3);
  expect(judge(service.health())).toMatchObject({ ready: true, reasons: [] });
  expect(rig.logged.filter(({ event }) => event === 'clock.back')).toHaveLength(1);

  // Each is answered by a link that is newer than it, however it is pushed.
  const requestedAt = await redisTime({ ...rig, redis });
  const asks = [
    () => client.rotate('vip'),
    () => rig.ask('bot', { group: 'vip' }),
    () => rig.ask('bot', { group: 'vip' }, 'rotate', { jobId: 'mine-1' }),
    () => rig.ask('bot', { group: 'vip', requestedAt }, 'rotate', { jobId: 'mine-2' }),
    () => rig.ask('bot', { group: 'vip', requestedAt: requestedBefore }, 'rotate', { jobId: 'mine-3' }),
    () => client.rotate('vip'),
  ] as (() => Promise<{ status: string; inviteCode: string }>)[];
  for (const ask of asks) {
    const { status, inviteCode } = await ask();
    expect(status).toBe('rotated');
    expect(rig.standIn.isLive(inviteCode)).toBe(true);
    expect(replaced).not.toContain(inviteCode);
    replaced.push(inviteCode);
  }
  const revisions = rig.eventsOf('vip').map(({ revision }) => revision!);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
});

it('settles the call of a dead worker as if the clock had not been set back', async () => {
  const { rig, setBack, redis } = await started();
  const begunAt = await redisTime({ ...rig, redis });
  const attempt = { id: 'dead', call: 'reset', begunAt, leaseUntil: begunAt + 10_000, request: null, covers: null };
  await rig.change('vip', { attempt } as never);
  await setBack.redis(3_600_000);
  await until('it to be settled', async () => {
    const { attempt: left, uncertain, verificationOwedAt } = await rig.record('vip');
    return left === null && uncertain === null && verificationOwedAt === null;
  });
});

it('returns slots as if the clock had not been set back', async () => {
  const { rig, setBack } = await started(', rateLimit: { max: 2, per: 5s, reserve: 0 }');
  await rig.ask('bot', { group: 'vip' });
  const bucket = await rig.redis.hget(rig.keys.buckets, 'bot');
  await rig.redis.set(rig.keys.verificationGivesWay(bucket!), '1', 'PX', 3_660_000);
  await setBack.redis(3_600_000);
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(await rig.redis.exists(rig.keys.verificationGivesWay(bucket!))).toBe(0);
});

it('ends a pause as if the clock had not been set back', async () => {
  const { rig, setBack, redis } = await started();
  const { verdict } = await failCall({ ...rig, redis }, 'bot', 'server_error', { group: 'a' });
  expect(verdict).toBe('unproven');
  const { change, gate } = await failCall({ ...rig, redis }, 'bot', 'instance_disconnected', { group: 'b' });
  expect(change).toBe('closed');
  await redis.hset(rig.keys.gate('bot'), 'until', (await redisTime({ ...rig, redis })) + 3_000);
  expect(gate.opensInMs).toBeLessThan(60_000);
  await setBack.redis(3_600_000);
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
  expect(await redis.exists(rig.keys.gate('bot'), rig.keys.row('bot', 'reset'))).toBe(0);
});

it.each(['invite-links', 'rotations-gone'])(
  'takes up what was delayed on %s when the clock was set back',
  async (name) => {
    const { rig, setBack, redis } = await started();
    await redis.zadd(rig.keys.instances, await redisTime({ ...rig, redis }), 'gone');
    const queue = new Queue(name, { connection: redis, prefix: rig.prefix });
    onTestFinished(() => queue.close());
    const job = await queue.add('later', {}, { delay: 600_000, timestamp: await redisTime({ ...rig, redis }) });
    expect(await job.isDelayed()).toBe(true);
    await setBack.redis(3_600_000);
    await until('it to be taken up', async () => !(await job.isDelayed()));
  },
);
