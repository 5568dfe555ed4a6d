import { expect, it } from 'vitest';
import { scheduledData } from '../../src/planner/jobs.ts';
import { failCall } from '../support/gates.ts';
import { resetTo, slotCall } from '../support/outcomes.ts';
import { jid, plannerRig } from './plannerRig.ts';

it('releases no more than the budget serves, most overdue first, and nothing more while that is queued', async () => {
  const { plan, released, overdue } = await plannerRig();
  await overdue(17, 60_000);
  await overdue(4, 50_000);
  expect(await plan()).toMatchObject({ released: 10 });
  const first = await released();
  expect(first).toHaveLength(10);
  expect(first.slice(0, 2)).toEqual([
    ['scheduled', 'g17'],
    ['scheduled', 'g4'],
  ]);
  expect(await plan()).toMatchObject({ released: 0 });
  expect(await released()).toEqual(first);
});

it('continues when the queue is empty', async () => {
  const { plan, released, queueOf } = await plannerRig();
  await plan();
  const first = await released();
  await queueOf('bot0').drain();
  await plan();
  const second = await released();
  expect(second).toHaveLength(10);
  expect(second.filter((job) => first.some(([, id]) => id === job[1]))).toEqual([]);
});

it('leaves one-offs ahead of what it released', async () => {
  const { plan, queueOf } = await plannerRig();
  await plan();
  await queueOf('bot0').add('rotate', { group: 'g3' });
  const counts = await queueOf('bot0').getJobCounts('wait', 'prioritized');
  expect(counts).toEqual({ wait: 1, prioritized: 10 });
});

it('counts what is already used of the limit', async () => {
  const { plan, budget, config } = await plannerRig();
  const slot = await budget.acquire(config.instances[0]!, 'a-token', 'oneOff', 'somebody');
  if (!slot.granted) throw new Error('denied');
  // The server has counted 7 requests, 6 of them made by others.
  const rateLimit = { limit: 12, remaining: 5, resetInMs: 60_000 };
  await budget.settle(config.instances[0]!, slot, slotCall({ ...resetTo('NEW'), rateLimit }));
  expect(await plan()).toMatchObject({ released: 3 });
});

it('divides the budget of a shared token among its instances, most overdue first', async () => {
  const { plan, released, overdue } = await plannerRig({ instances: 2 });
  for (const n of [1, 3, 5, 7]) await overdue(n, 60_000 * n);
  expect(await plan()).toMatchObject({ released: 10 });
  const [one, two] = [await released('bot0'), await released('bot1')];
  expect(one.length + two.length).toBe(10);
  expect(two.slice(0, 4)).toEqual([7, 5, 3, 1].map((n) => ['scheduled', `g${n}`]));
});

it('releases nothing to a paused instance', async () => {
  const rig = await plannerRig();
  await failCall(rig, 'bot0', 'unauthorized');
  expect(await rig.plan()).toMatchObject({ due: 30, released: 0 });
});

it('keeps the pace of an instance', async () => {
  const { plan } = await plannerRig({ instance: ', pace: 4s' });
  expect(await plan()).toMatchObject({ released: 2 });
});

it('postpones a group that is due outside its window until the window opens', async () => {
  const now = new Date();
  const minute = (offset: number) => {
    const at = new Date(now.getTime() + offset * 3_600_000);
    return `"${String(at.getUTCHours()).padStart(2, '0')}:00"`;
  };
  const { plan, overdue, redis, keys } = await plannerRig({
    count: 1,
    defaults: `every: 1d, firstSeen: rotate, window: { from: ${minute(2)}, to: ${minute(4)} }`,
  });
  await overdue(0, 3_600_000);
  expect(await plan()).toMatchObject({ due: 1, released: 0 });
  const next = Number(await redis.zscore(keys.due('bot0'), jid(0)));
  expect(new Date(next).getUTCMinutes()).toBe(0);
  expect(next).toBeGreaterThan(now.getTime() + 3_600_000);
});

it('records when it last ran', async () => {
  const { plan, redis, keys } = await plannerRig({ count: 1 });
  await plan();
  expect(Math.abs(Number(await redis.get(keys.lastTick)) - Date.now())).toBeLessThan(60_000);
});

it('releases every group once when the clock jumps ahead, and none again when it jumps back', async () => {
  const hourMs = 3_600_000;
  const start = 1_763_802_000_000;
  const { plan, queueOf, released, setTime, change, changeAll } = await plannerRig({
    count: 3,
    defaults: 'every: 1h, firstSeen: rotate',
    clockAt: start,
  });
  /** As workers do. */
  const rotateAll = async () => {
    await queueOf('bot0').drain();
    await changeAll((_, nowMs) => ({ rotatedAt: nowMs, dueAt: nowMs + hourMs }));
  };
  expect(await plan()).toMatchObject({ released: 3 });
  await rotateAll();
  expect(await plan()).toMatchObject({ released: 0 });
  setTime(start + 5 * hourMs);
  expect([await plan(), await plan()]).toMatchObject([{ released: 3 }, { released: 0 }]);
  expect(await released()).toHaveLength(3);
  await rotateAll();
  setTime(start + 2 * hourMs);
  expect(await plan()).toMatchObject({ released: 0 });
  // A group that falls due by the corrected clock is released, whatever the wrong clock had postponed.
  await change(1, () => ({ dueAt: start + 2 * hourMs - 1 }));
  expect(await plan()).toMatchObject({ released: 1 });
  setTime(start + 6 * hourMs + 1_000);
  await plan();
  expect((await released()).map(([, group]) => group).sort()).toEqual(['g0', 'g1', 'g2']);
});

it('names the record in its jobs, and the group for people who look at the queue', async () => {
  const { plan, queueOf, overdue, store } = await plannerRig({ count: 1 });
  await overdue(0, 60_000);
  const { dueAt } = (await store.load(jid(0))).record;
  await plan();
  const [job] = await queueOf('bot0').getJobs(['prioritized']);
  expect(scheduledData.parse(job?.data)).toEqual({ record: jid(0), group: 'g0', dueAt });
  expect(job?.id).toBe(`scheduled.${dueAt}.${jid(0)}`);
});

it('removes a record from the index that another version or instance left there', async () => {
  const { plan, change, redis, keys } = await plannerRig({ count: 3 });
  await redis.zadd(keys.due('bot0'), 1, 'g0');
  await change(1, ({ entry }) => ({ entry: { ...entry!, instance: 'elsewhere' } }));
  await redis.zadd(keys.due('bot0'), 2, jid(1));
  await change(2, () => ({ removedAt: 1 }));
  await redis.zadd(keys.due('bot0'), 3, jid(2));
  // One that is gone is reported, and stays until it is registered again.
  expect(await plan()).toMatchObject({ released: 1, reads: 0, lost: ['g0'] });
  expect((await redis.zrangebyscore(keys.due('bot0'), '-inf', '+inf')).sort()).toEqual([jid(0), 'g0'].sort());
});

it('retries a record that cannot be read later, and delays no other', async () => {
  const { plan, redis, keys } = await plannerRig({ count: 2 });
  await redis.hset(keys.group(jid(0)), 'record', '{');
  expect(await plan()).toMatchObject({ released: 1, unreadable: [{ recordId: jid(0) }] });
  expect(await plan()).toMatchObject({ released: 0, unreadable: [] });
});
