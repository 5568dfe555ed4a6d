import { Worker } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { settle } from '../../src/planner/settler.ts';
import { attempt, uncertain } from '../rotation/samples.ts';
import { jid, plannerRig } from './plannerRig.ts';

const t = 1_763_802_000_000;
const seconds = (n: number) => t + n * 1_000;

/** Groups of two instances, without any due work. */
async function settlerRig(count = 4) {
  const rig = await plannerRig({ count, instances: 2, clockAt: t, defaults: 'every: 1d, firstSeen: wait' });
  const { redis, keys, clocked } = rig;
  return {
    ...rig,
    settle: (...served: string[]) => settle({ ...rig, redis: clocked, serves: (name) => served.includes(name) }),
    unsettled: async () => await redis.zrangebyscore(keys.unsettled, '-inf', '+inf'),
  };
}

it('releases an attempt whose lease has expired, and not before', async () => {
  const { change, settle, setTime, queueOf } = await settlerRig();
  await change(0, () => ({ attempt: attempt({ begunAt: t, leaseUntil: seconds(10) }) }));
  setTime(seconds(10) - 1);
  expect(await settle('bot0', 'bot1')).toBe(0);
  setTime(seconds(10));
  expect(await settle('bot0', 'bot1')).toBe(1);
  const [job] = await queueOf('bot0').getJobs(['wait']);
  expect(job).toMatchObject({
    id: `unsettled.0.${jid(0)}`,
    name: 'verify',
    data: { record: jid(0), group: 'g0' },
    opts: { lifo: true },
  });
});

it('does not release an attempt whose process renews its lease', async () => {
  const { change, settle, setTime } = await settlerRig();
  await change(0, () => ({ attempt: attempt({ leaseUntil: seconds(10) }) }));
  await change(0, () => ({ attempt: attempt({ leaseUntil: seconds(20) }) }));
  setTime(seconds(19));
  expect(await settle('bot0')).toBe(0);
});

it('releases an uncertain group if its job has not read it back, and an owed read', async () => {
  const { change, settle, setTime, released } = await settlerRig();
  await change(0, () => ({ uncertain: { ...uncertain, readAt: seconds(5) } }));
  await change(2, () => ({ verificationOwedAt: seconds(30) }));
  setTime(seconds(7));
  expect(await settle('bot0')).toBe(0);
  setTime(seconds(8));
  expect(await settle('bot0')).toBe(1);
  setTime(seconds(30));
  await settle('bot0');
  expect((await released()).map(([, group]) => group).sort()).toEqual(['g0', 'g2']);
});

it.each([
  ['disabled', { enabled: false }, {}],
  ['removed from the file', {}, { removedAt: t }],
  ['given another WhatsApp group', {}, { removedAt: t, replaced: true }],
  ['a duplicate', {}, { duplicateOf: 'g1' }],
])('settles a group that is %s', async (_name, entry, over) => {
  const { change, settle, setTime, released } = await settlerRig();
  await change(0, (record) => ({
    attempt: attempt({ leaseUntil: seconds(1) }),
    entry: { ...record.entry!, ...entry },
    ...over,
  }));
  setTime(seconds(1));
  expect(await settle('bot0')).toBe(1);
  expect(await released()).toEqual([['verify', 'g0']]);
});

it('releases each group once, though several workers look at the same time', async () => {
  const { changeAll, settle, setTime, released } = await settlerRig(40);
  await changeAll(() => ({ attempt: attempt({ leaseUntil: seconds(1) }) }));
  setTime(seconds(1));
  const counts = await Promise.all(Array.from({ length: 5 }, () => settle('bot0', 'bot1')));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40);
  expect([(await released('bot0')).length, (await released('bot1')).length]).toEqual([20, 20]);
});

it('releases a group again if its job was lost', async () => {
  const { change, settle, setTime, queueOf } = await settlerRig();
  await change(0, () => ({ attempt: attempt({ leaseUntil: seconds(1) }) }));
  setTime(seconds(1));
  expect([await settle('bot0'), await settle('bot0')]).toEqual([1, 0]);
  await queueOf('bot0').obliterate({ force: true });
  setTime(seconds(5));
  expect(await settle('bot0')).toBe(0);
  setTime(seconds(6));
  expect(await settle('bot0')).toBe(1);
});

it('does not wait for the job of a worker that was killed during the read', async () => {
  const { redis, change, settle, setTime, queueOf, prefix } = await settlerRig();
  await change(0, () => ({ attempts: 1, attempt: attempt({ leaseUntil: seconds(1) }) }));
  setTime(seconds(1));
  await settle('bot0');
  const taken = new Worker('rotations-bot0', null, { connection: redis, prefix, autorun: false });
  onTestFinished(() => taken.close());
  const held = await taken.getNextJob('killed');
  await change(0, () => ({ attempts: 2, attempt: attempt({ call: 'readBack', leaseUntil: seconds(5) }) }));
  setTime(seconds(5));
  expect(await settle('bot0')).toBe(1);
  const [job] = await queueOf('bot0').getJobs(['wait']);
  expect([held?.id, job?.id]).toEqual([`unsettled.1.${jid(0)}`, `unsettled.2.${jid(0)}`]);
});

it('leaves groups that it does not serve to other workers', async () => {
  const { change, settle, setTime, released, unsettled } = await settlerRig();
  for (const n of [0, 1]) await change(n, () => ({ attempt: attempt({ leaseUntil: seconds(1) }) }));
  setTime(seconds(1));
  expect(await settle('bot0')).toBe(1);
  expect(await released('bot1')).toEqual([]);
  expect(await settle('bot1')).toBe(1);
  expect([await released('bot0'), await released('bot1')]).toEqual([[['verify', 'g0']], [['verify', 'g1']]]);
  expect(await unsettled()).toHaveLength(2);
});

it('follows a group that moved to another instance', async () => {
  const { change, settle, setTime, released } = await settlerRig();
  await change(0, () => ({ attempt: attempt({ leaseUntil: seconds(1) }) }));
  await change(0, ({ entry }) => ({ entry: { ...entry!, instance: 'bot1' } }));
  setTime(seconds(1));
  expect([await settle('bot0'), await settle('bot1')]).toEqual([0, 1]);
  expect(await released('bot1')).toEqual([['verify', 'g0']]);
});

it('forgets a record that is gone, postpones one that cannot be read, and settles the others', async () => {
  const { changeAll, settle, setTime, released, unsettled, redis, keys } = await settlerRig(3);
  await changeAll(() => ({ attempt: attempt({ leaseUntil: seconds(1) }) }));
  await redis.del(keys.group(jid(0)));
  await redis.hset(keys.group(jid(1)), 'record', '{');
  setTime(seconds(1));
  expect(await settle('bot0', 'bot1')).toBe(1);
  expect(await released('bot0')).toEqual([['verify', 'g2']]);
  expect(await unsettled()).toEqual([jid(2), jid(1)]);
});

it('settles what it serves though many unsettled groups have no worker', async () => {
  const { changeAll, change, settle, setTime } = await settlerRig(250);
  await changeAll(({ entry }) => ({
    attempt: attempt({ leaseUntil: seconds(1) }),
    entry: { ...entry!, instance: 'gone' },
  }));
  await change(7, ({ entry }) => ({
    attempt: attempt({ leaseUntil: seconds(2) }),
    entry: { ...entry!, instance: 'bot1' },
  }));
  setTime(seconds(3));
  expect(await settle('bot0', 'bot1')).toBe(1);
});
