/** An instance's gate: what closes it, which call may probe it, what opens it, and whose failure it then was. */
import { describe, expect, it } from 'vitest';
import { createBudget, type Slot } from '../../src/budget/budget.ts';
import { type FailedCall, judgeFailure, openGate, readBlame, readGate } from '../../src/budget/gate.ts';
import type { ErrorCode } from '../../src/contract/errorCodes.ts';
import { failed as failure, rejected, resetTo, slotCall } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import { virtualRedis } from '../support/virtualRedis.ts';

const bot = { name: 'bot', rateLimit: { max: 10_000, perMs: 60_000, reserve: 0 }, paceMs: 0 };
const token = 'a-token';
const start = 1_763_802_000_000;

/** An instance with the scheduled groups a, b, c, d and e, on a clock that the test moves. */
async function make(scheduled = ['a', 'b', 'c', 'd', 'e']) {
  const base = testRedis();
  const { keys } = base;
  const clock = virtualRedis(base.redis, `${base.prefix}:clock`);
  const { redis } = clock;
  const db = { ...base, redis };
  const budget = createBudget(db, { callTimeoutMs: 30_000 });
  let now = start;
  const pass = (ms: number) => {
    now += ms;
    clock.setTime(now);
  };
  pass(0);
  for (const group of scheduled) await base.redis.zadd(keys.due('bot'), start, group);

  const ask = (group: string, call: FailedCall['call'] = 'reset', instance = bot) =>
    budget.ask(instance, token, 'oneOff', group, { group, call });
  async function take(group: string, call: FailedCall['call'] = 'reset', instance = bot): Promise<Slot> {
    const grant = await ask(group, call, instance);
    if (!grant.granted) throw new Error(`denied: ${grant.why}`);
    return grant;
  }
  const why = async (group: string, call: FailedCall['call'] = 'reset') => {
    const grant = await ask(group, call);
    return grant.granted ? 'granted' : grant.why;
  };
  const settle = (slot: Slot, shows: 'works' | 'trouble' | 'unclear') =>
    budget.settle(bot, slot, slotCall(shows === 'works' ? resetTo('NEW') : rejected, { isNews: shows === 'trouble' }));
  const failed = async (slot: Slot, code: ErrorCode, startedAt = now) => {
    const { evidence } = await budget.settle(bot, slot, slotCall(failure(code), { startedAt }));
    return await judgeFailure(db, 'bot', evidence!);
  };
  /** A call that fails, from its slot to its judgement. */
  async function fail(group: string, code: ErrorCode, call: FailedCall['call'] = 'reset') {
    const slot = await take(group, call);
    pass(5);
    const judgement = await failed(slot, code, now - 1);
    pass(1);
    return judgement;
  }
  /** A call that works; returns the reason of the gate that it opened. */
  async function work(group: string, call: FailedCall['call'] = 'reset') {
    const slot = await take(group, call);
    pass(5);
    return (await settle(slot, 'works')).opened;
  }
  const gate = () => readGate(db, 'bot', now);
  // The server's count is known: no call goes alone.
  await settle(await take('first'), 'works');
  pass(5);
  return { db, budget, pass, ask, take, why, settle, failed, fail, work, gate };
}

describe('a gate', () => {
  it('closes at once for a failure of the instance, and once for all calls in flight', async () => {
    const { take, failed, pass, why } = await make();
    const [a, b] = [await take('a'), await take('b')];
    pass(5);
    const first = await failed(a, 'unauthorized');
    expect(first).toMatchObject({ verdict: 'paused', change: 'closed', gate: { opensInMs: 30_000, streak: 1 } });
    pass(5);
    expect(await failed(b, 'unauthorized')).toMatchObject({ verdict: 'paused', change: null, gate: { streak: 1 } });
    expect(await why('c')).toBe('gate');
  });

  const trouble = [30, 60, 120, 240, 300, 300];
  it.each([
    ['unauthorized', trouble],
    ['instance_disconnected', trouble],
    ['wrong_instance', trouble],
    ['instance_not_found', trouble],
    // WhatsApp asks the phone to slow down: minutes, not seconds.
    ['throttled', [60, 120, 240, 480, 960, 1_800, 1_800]],
  ] as const)('that each probe finds closed for %s doubles its time up to a maximum', async (code, seconds) => {
    for (const scheduled of [['a'], undefined]) {
      const { fail, pass, db, gate } = await make(scheduled);
      let closedForS = 0;
      for (const [i, closedFor] of seconds.entries()) {
        // A single group is its own probe; otherwise there is always another one.
        const group = scheduled === undefined ? `group-${i}` : 'a';
        expect(await fail(group, code)).toMatchObject({
          verdict: 'paused',
          change: i === 0 ? 'closed' : 'extended',
          gate: { streak: i + 1, opensInMs: closedFor * 1_000 },
        });
        const now = await gate();
        expect(now).toMatchObject({ streak: i + 1 });
        expect(Math.floor(now!.closedForMs! / 1_000)).toBe(closedForS);
        pass(closedFor * 1_000);
        closedForS += closedFor;
      }
      await openGate(db, 'bot');
      expect(await fail('a', code)).toMatchObject({ gate: { streak: 1, opensInMs: seconds[0] * 1_000 } });
    }
  });

  it('affects no other instance, and can be opened by hand, which blames no group', async () => {
    const { fail, take, db, gate } = await make();
    await fail('a', 'unauthorized');
    await take('a', 'reset', { ...bot, name: 'twin' });
    expect(await openGate(db, 'bot')).toBe('unauthorized');
    expect(await gate()).toBeNull();
    expect(await fail('a', 'unauthorized')).toMatchObject({ verdict: 'paused', change: 'closed' });
  });
});

describe('the probe', () => {
  it('is one call at a time, and of another group than the one that closed the gate', async () => {
    const { fail, pass, why, take, settle } = await make();
    await fail('a', 'instance_disconnected');
    pass(30_000);
    expect(await why('a')).toBe('blamed');
    const probe = await take('b');
    expect(await why('c')).toBe('probing');
    expect(await why('a')).toBe('probing');
    pass(5);
    expect(await settle(probe, 'works')).toMatchObject({ opened: 'instance_disconnected' });
    expect(await why('a')).toBe('granted');
  });

  it('is the blamed group if no other comes for some seconds, and never the same group twice in a row', async () => {
    const { fail, pass, ask, why, gate } = await make();
    await fail('a', 'throttled');
    pass(60_000);
    expect(await fail('b', 'throttled')).toMatchObject({ gate: { streak: 2 } });
    pass(120_000);
    expect(await ask('a')).toMatchObject({ why: 'blamed', waitMs: 5_000 });
    expect(await ask('b')).toMatchObject({ why: 'blamed', waitMs: 10_000 });
    pass(5_000);
    expect(await why('b')).toBe('blamed');
    expect(await fail('a', 'throttled')).toMatchObject({ verdict: 'paused', change: 'extended', gate: { streak: 3 } });
    // That delays only the blamed group: no other group has made a call.
    expect(await gate()).toMatchObject({ opensInMs: 0 });
    expect(await why('b')).toBe('blamed');
    expect(await why('c')).toBe('granted');
  });

  it('of the only group of an instance does not wait for others', async () => {
    const { fail, pass, why } = await make(['a']);
    await fail('a', 'instance_disconnected');
    expect(await why('a')).toBe('gate');
    pass(30_000);
    expect(await fail('a', 'instance_disconnected')).toMatchObject({ gate: { streak: 2, opensInMs: 60_000 } });
    expect(await why('a')).toBe('gate');
  });

  it("of another group that fails as well shows that it is the instance's failure", async () => {
    const { fail, pass, work, why } = await make();
    await fail('a', 'unauthorized');
    pass(30_000);
    await work('b');
    // It is known to fail by its own fault, until all groups fail.
    expect(await fail('a', 'unauthorized')).toMatchObject({ verdict: 'group' });
    await fail('c', 'unauthorized');
    pass(30_000);
    expect(await fail('d', 'unauthorized')).toMatchObject({ change: 'extended' });
    expect(await why('e')).toBe('gate');
    pass(60_000);
    expect(await fail('a', 'unauthorized')).toMatchObject({ verdict: 'paused' });
  });

  it('that died, or was never sent, leaves its turn to the next', async () => {
    const { fail, pass, take, why, budget } = await make();
    await fail('a', 'unauthorized');
    pass(30_000);
    await budget.settle(bot, await take('b'), null);
    await take('c');
    expect(await why('d')).toBe('probing');
    pass(10_001);
    expect(await why('d')).toBe('granted');
  });

  it('that fails with an error of its own group leaves its turn to the next', async () => {
    const { fail, pass, why, gate } = await make();
    await fail('a', 'throttled');
    pass(60_000);
    expect(await fail('b', 'not_admin')).toMatchObject({ verdict: 'unproven' });
    expect(await fail('c', 'server_error')).toMatchObject({ verdict: 'unproven' });
    expect(await gate()).toMatchObject({ reason: 'throttled', streak: 1 });
    expect(await why('d')).toBe('granted');
  });
});

describe('a gate is opened', () => {
  it('by no call that started before it closed', async () => {
    const { take, settle, fail, pass, gate, work } = await make();
    const early = await take('b');
    pass(5);
    await fail('a', 'unauthorized');
    pass(5);
    expect(await settle(early, 'works')).toMatchObject({ opened: null });
    expect(await gate()).toMatchObject({ reason: 'unauthorized' });
    pass(30_000);
    expect(await work('b')).toBe('unauthorized');
  });

  it('by no read while resets are throttled; reads pass one at a time', async () => {
    const { fail, pass, work, gate, take, why } = await make();
    await fail('a', 'throttled');
    expect(await why('b', 'read')).toBe('gate');
    pass(60_000);
    for (const group of ['b', 'c', 'd']) expect(await work(group, 'read')).toBeNull();
    await take('b', 'read');
    expect(await why('c', 'read')).toBe('probing');
    pass(10_001);
    expect(await gate()).toMatchObject({ reason: 'throttled', streak: 1 });
    expect(await fail('c', 'throttled')).toMatchObject({ gate: { streak: 2, opensInMs: 120_000 } });
    pass(120_000);
    expect(await work('d')).toBe('throttled');
  });

  it('by no read once the resets of two groups have failed', async () => {
    const { fail, pass, work } = await make();
    await fail('a', 'unauthorized');
    pass(30_000);
    await fail('b', 'unauthorized');
    pass(60_000);
    expect(await work('c', 'read')).toBeNull();
    expect(await work('c')).toBe('unauthorized');
  });
});

describe("a failure that is known to be the group's", () => {
  it.each(['unauthorized', 'throttled', 'instance_not_found', 'instance_disconnected', 'wrong_instance'] as const)(
    'pauses nothing: %s',
    async (code) => {
      const { fail, pass, work, gate, db } = await make();
      await fail('a', code);
      pass(60_000);
      await work('b');
      expect(await readBlame(db, 'bot', 'a', code)).toMatchObject({ isBlamed: true });
      for (let day = 0; day < 5; day++) {
        expect(await fail('a', code)).toMatchObject({ verdict: 'group', change: null });
        expect(await gate()).toBeNull();
        pass(24 * 3_600_000);
      }
    },
  );

  it('is forgotten once its reset works, not by a read', async () => {
    const { fail, pass, work } = await make();
    await fail('a', 'unauthorized');
    pass(30_000);
    // The group's own read shows that the token is good, not that its resets are.
    expect(await work('a', 'read').catch(() => 'blamed')).toBe('blamed');
    pass(5_000);
    expect(await work('a', 'read')).toBe('unauthorized');
    expect(await fail('a', 'unauthorized')).toMatchObject({ verdict: 'group' });
    await work('a');
    expect(await fail('a', 'unauthorized')).toMatchObject({ verdict: 'paused' });
  });

  it('says nothing about other causes', async () => {
    const { fail, pass, work } = await make();
    await fail('a', 'unauthorized');
    pass(30_000);
    await work('b');
    expect(await fail('a', 'instance_disconnected')).toMatchObject({ verdict: 'paused' });
  });
});

describe('several groups that fail in a row', () => {
  it('make the instance suspected at the third, and none is blamed before a second call', async () => {
    const { fail, pass, work, why } = await make();
    expect(await fail('a', 'not_admin')).toMatchObject({ verdict: 'unproven' });
    expect(await fail('a', 'not_admin')).toMatchObject({ verdict: 'unproven' });
    expect(await fail('b', 'group_not_found')).toMatchObject({ verdict: 'unproven' });
    const third = await fail('c', 'invalid_request');
    expect(third).toMatchObject({
      verdict: 'paused',
      change: 'closed',
      gate: { reason: 'suspected', opensInMs: 30_000 },
    });
    pass(30_000);
    for (const group of ['a', 'b', 'c']) expect(await why(group)).toBe('blamed');
    pass(10_000);
    expect(await fail('a', 'not_admin')).toMatchObject({ verdict: 'group', change: null });
    expect(await work('b')).toBe('suspected');
    expect(await fail('c', 'group_not_found')).toMatchObject({ verdict: 'group', change: null });
    expect(await fail('b', 'group_not_found')).toMatchObject({ verdict: 'unproven' });
  });

  it('are no longer in a row after a call of the same kind that works', async () => {
    const { fail, work, gate } = await make();
    for (const [i, group] of ['a', 'b', 'c', 'd'].entries()) {
      if (i === 2) await work('e');
      await fail(group, 'not_admin');
    }
    expect(await gate()).toBeNull();
    await work('e', 'read');
    expect(await fail('e', 'not_admin')).toMatchObject({ change: 'closed' });
  });
});

describe('failures of single calls', () => {
  const outage = ['server_error', 'timeout', 'network_error', 'bad_response'] as const;
  it('pause the instance for some seconds once three groups fail, and no call works for 5 s', async () => {
    const { fail, pass, work, gate } = await make();
    for (const group of ['a', 'b', 'c', 'd']) {
      expect(await fail(group, 'server_error')).toMatchObject({ verdict: 'unproven' });
      pass(1_000);
    }
    pass(1_000);
    const paused = { verdict: 'paused', change: 'closed', gate: { reason: 'timeout', opensInMs: 10_000 } };
    expect(await fail('a', 'timeout')).toMatchObject(paused);
    for (const [i, seconds] of [20, 40, 60, 60].entries()) {
      pass((await gate())!.opensInMs);
      const probe = await fail(`other-${i}`, outage[i]!);
      expect(probe).toMatchObject({ change: 'extended', gate: { opensInMs: seconds * 1_000 } });
    }
    pass(60_000);
    expect(await work('another')).toBe('bad_response');
  });

  it('pause nothing while others work, or while it is always the same group', async () => {
    const { fail, pass, work, gate } = await make();
    for (let i = 0; i < 40; i++) {
      for (const group of ['a', 'b', 'c']) await fail(group, outage[i % 4]!);
      await work('d');
      pass(1_000);
    }
    for (let i = 0; i < 20; i++) {
      expect(await fail('a', 'server_error')).toMatchObject({ verdict: 'unproven', inRow: 1 });
      pass(1_000);
    }
    expect(await gate()).toBeNull();
  });

  it('pause nothing at random: 30 % of 20 calls a second', async () => {
    const { fail, pass, work, gate } = await make();
    let seed = 7;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    for (let i = 0; i < 1_200; i++) {
      const group = `g${Math.floor(random() * 50)}`;
      const call = random() < 0.5 ? 'reset' : 'read';
      if (random() < 0.3) await fail(group, 'server_error', call);
      else await work(group, call);
      pass(45);
    }
    expect(await gate()).toBeNull();
  });
});
