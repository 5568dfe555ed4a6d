/** The reads that the planner releases: first reads, reads of groups that returned, and periodic verifications. */
import { describe, expect, it } from 'vitest';
import { verifyData } from '../../src/planner/jobs.ts';
import { failCall } from '../support/gates.ts';
import { jid, plannerRig } from './plannerRig.ts';

const dayMs = 86_400_000;
const isRead = ([name]: [string, string]) => name === 'verify';

describe('first reads', () => {
  const later = 'every: 1d, firstSeen: wait';

  it('are released as fast as the budget serves them, most overdue first', async () => {
    const { plan, released, change, queueOf } = await plannerRig({ adopted: false, defaults: later });
    await change(7, (_, nowMs) => ({ readDueAt: nowMs - 60_000 }));
    expect(await plan()).toMatchObject({ due: 30, released: 0, reads: 10, verifications: 0 });
    const first = await released();
    expect([first[0], first.length, first.every(isRead)]).toEqual([['verify', 'g7'], 10, true]);
    expect(await plan()).toMatchObject({ reads: 0 });
    await queueOf('bot0').drain();
    expect(await plan()).toMatchObject({ reads: 10 });
  });

  it('have the priority of scheduled rotations, ahead of verifications', async () => {
    const { plan, queueOf, change } = await plannerRig({ count: 3, verify: '{ every: 1h }', defaults: later });
    await change(0, (_, nowMs) => ({ readDueAt: nowMs - 1 }));
    await change(1, (_, nowMs) => ({ dueAt: nowMs - 2 }));
    await change(2, () => ({ verifiedAt: 1 }));
    expect(await plan()).toMatchObject({ released: 1, reads: 1, verifications: 1 });
    const jobs = await queueOf('bot0').getJobs(['prioritized'], 0, -1, true);
    expect(jobs.map(({ id, opts }) => [id?.split('.')[0], opts.priority])).toEqual([
      ['scheduled', 10],
      ['owed', 10],
      ['idle', 20],
    ]);
    expect(verifyData.parse(jobs[1]?.data)).toEqual({ record: jid(0), group: 'g0', kind: 'owed' });
  });

  it('are not delayed by the pace of an instance', async () => {
    const { plan } = await plannerRig({ adopted: false, defaults: later, instance: ', pace: 4s' });
    expect(await plan()).toMatchObject({ released: 0, reads: 10 });
  });

  it('are not delayed by the pace if the first rotation is due as well', async () => {
    const { plan } = await plannerRig({ adopted: false, instance: ', pace: 4s' });
    const { released, reads } = await plan();
    expect([released, released + reads]).toEqual([2, 10]);
  });

  it('are not delayed by a backlog of paced rotations', async () => {
    const { plan, changeAll, change } = await plannerRig({ instance: ', pace: 4s' });
    await changeAll((_, nowMs) => ({ dueAt: nowMs - 60_000 }));
    await change(29, (_, nowMs) => ({ dueAt: nowMs + dayMs, readDueAt: nowMs - 1 }));
    let reads = 0;
    // Each tick postpones the rotations that exceed the pace.
    for (let i = 0; i < 4; i++) reads += (await plan()).reads;
    expect(reads).toBe(1);
  });

  it('are released outside the window', async () => {
    const hour = (offset: number) => `"${String((new Date().getUTCHours() + offset) % 24).padStart(2, '0')}:00"`;
    const window = `window: { from: ${hour(2)}, to: ${hour(4)} }`;
    const { plan, released } = await plannerRig({
      count: 2,
      adopted: false,
      defaults: `every: 1d, firstSeen: rotate, ${window}`,
    });
    expect(await plan()).toMatchObject({ released: 0, reads: 2 });
    expect((await released()).every(isRead)).toBe(true);
  });

  it('wait while the instance is paused', async () => {
    const rig = await plannerRig({ adopted: false, defaults: later });
    await failCall(rig, 'bot0', 'unauthorized');
    expect(await rig.plan()).toMatchObject({ due: 30, reads: 0 });
  });
});

describe('periodic verification', () => {
  const verify = '{ every: 1d }';
  /** As if no link had been read for two days. */
  const unseen = (_: unknown, nowMs: number) => ({ rotatedAt: 1, verifiedAt: nowMs - 2 * dayMs });

  it('uses its share of the limit, spread over the ticks', async () => {
    const { plan, released, changeAll } = await plannerRig({
      count: 20,
      defaults: 'every: 1d, firstSeen: wait',
      rateLimit: '{ max: 300, reserve: 0, per: 1m }',
      verify,
    });
    await changeAll(unseen);
    // A tenth of the limit is 30 a minute, and a minute has 12 ticks.
    expect(await plan()).toMatchObject({ due: 0, released: 0, verifications: 3 });
    expect((await released()).every(isRead)).toBe(true);
    // Those that are queued count.
    expect(await plan()).toMatchObject({ verifications: 0 });
  });

  it('is off if the file says so', async () => {
    const { plan, changeAll } = await plannerRig({ count: 5, defaults: 'every: 1d, firstSeen: wait' });
    await changeAll(unseen);
    expect(await plan()).toMatchObject({ verifications: 0 });
  });

  it('gets one read per tick despite a standing backlog', async () => {
    const { plan, changeAll, queueOf } = await plannerRig({ verify });
    await changeAll(unseen);
    for (let i = 0; i < 3; i++) {
      expect(await plan()).toMatchObject({ released: 10, verifications: 1 });
      await queueOf('bot0').drain();
      await changeAll((_, nowMs) => ({ dueAt: nowMs - 60_000 + i }));
    }
  });

  it('gets one read per tick though its share is a single slot', async () => {
    const rateLimit = '{ max: 1, reserve: 0, per: 1m }';
    const { plan, changeAll } = await plannerRig({
      count: 5,
      defaults: 'every: 7d, firstSeen: wait',
      rateLimit,
      verify,
    });
    await changeAll(unseen);
    expect(await plan()).toMatchObject({ due: 0, verifications: 1 });
  });

  it('never delays due work, though its reads are queued', async () => {
    const rateLimit = '{ max: 2, reserve: 1, per: 1m }';
    const { plan, changeAll, queueOf, released } = await plannerRig({ count: 8, rateLimit, verify });
    await changeAll(unseen);
    for (let i = 0; i < 4; i++) await plan();
    // The worker takes scheduled work first.
    const [first] = await queueOf('bot0').getJobs(['prioritized'], 0, 0, true);
    expect(first?.name).toBe('scheduled');
    await first?.remove();
    await plan();
    expect((await released())[0]?.[0]).toBe('scheduled');
  });

  it('waits while the instance is paused', async () => {
    const rig = await plannerRig({ count: 5, verify });
    await rig.changeAll(unseen);
    await failCall(rig, 'bot0', 'unauthorized');
    expect(await rig.plan()).toMatchObject({ released: 0, verifications: 0 });
  });
});
