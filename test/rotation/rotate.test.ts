/** One job's work, from the group's record to the job's result. The test scripts RyzeAPI's answers. */
import { describe, expect, it } from 'vitest';
import { createBudget } from '../../src/budget/budget.ts';
import type { ErrorCode } from '../../src/contract/errorCodes.ts';
import { type GroupRecord, settleAt } from '../../src/groups/record.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { rotate } from '../../src/rotation/rotate.ts';
import type { JobProgress, JobResult, RotationDependencies, Work } from '../../src/rotation/types.ts';
import type { CallOutcome } from '../../src/ryze/outcome.ts';
import { failCall } from '../support/gates.ts';
import { failed, resetTo, shows } from '../support/outcomes.ts';
import { testRedis } from '../support/redis.ts';
import {
  attempt,
  entry,
  info,
  jid,
  request,
  scheduled,
  settled,
  settleTimeMs,
  t,
  unread,
  verification,
} from './samples.ts';

const rateLimit = { max: 100, reserve: 0, perMs: 60_000 };
const instance = {
  name: 'bot',
  token: { name: 'token', from: 'env', variable: 'T' },
  rateLimit,
  concurrency: 5,
  paceMs: 0,
};

type Answer = () => CallOutcome | Promise<CallOutcome>;

interface Answers {
  readonly info?: Answer;
  readonly reset?: Answer;
  /** What another worker has made of the record while this one could not go on after a call. */
  readonly meanwhile?: Partial<GroupRecord>;
}

async function rotationRig(record: GroupRecord, { meanwhile, ...answers }: Answers = {}) {
  const db = testRedis();
  const { redis, keys } = db;
  const store = createGroupStore(db);
  const calls: string[] = [];
  const recovered: string[] = [];
  const answer = async (name: 'info' | 'reset', identifier: string) => {
    calls.push(`${name} ${identifier}`);
    const given = answers[name];
    if (given === undefined) throw new Error(`no ${name} was to be made`);
    return await given();
  };
  const budget = createBudget(db, { callTimeoutMs: 1_000 });
  const settle: typeof budget.settle = async (...args) => {
    const settled = await budget.settle(...args);
    if (meanwhile !== undefined) await change(meanwhile);
    return settled;
  };
  const deps: RotationDependencies = {
    ...db,
    store,
    budget: { ...budget, settle },
    settleTimeMs,
    lastJobOn: async (queue) => ({ queue, lastJob: 0, count: 'c1' }),
    uncountedOn: async () => [],
    retry: { attempts: 3, baseDelayMs: 10, maxDelayMs: 100 },
    random: () => 0.5,
    ryze: {
      groupInfo: ({ identifier }) => answer('info', identifier),
      resetLink: ({ identifier }) => answer('reset', identifier),
      close: async () => {},
    },
    callerOf: (name) => (name === 'bot' ? { instance: instance as never, token: 'a-token' } : null),
    refreshToken: () => 'a-token',
    onGateClosed: () => {},
    onGateExtended: () => {},
    onGateOpened: () => {},
    onLimitSeen: () => {},
    onRecovered: ({ link }) => recovered.push(link?.code ?? ''),
    onCommitted: () => {},
  };
  const change = (over: Partial<GroupRecord>) =>
    store.update(jid, (stored) => ({ record: { ...stored, ...over }, result: undefined }));
  await change(record);
  return {
    calls,
    recovered,
    change,
    record: async () => (await store.load(jid)).record,
    events: async () => (await redis.lrange(keys.outbox('invite-links'), 0, -1)).map((event) => JSON.parse(event)),
    ...db,
    run: (work: Work, past: JobProgress = { tries: 0, doubted: null }): Promise<JobResult> =>
      rotate(deps, jid, work, past),
  };
}

describe('a group whose link was never read', () => {
  it('is read and published before its first rotation', async () => {
    const { run, calls, events } = await rotationRig(unread, { info: () => shows('OLD'), reset: () => resetTo('NEW') });
    expect(await run(scheduled)).toMatchObject({ status: 'rotated' });
    expect(calls).toEqual([`info ${jid}`, `reset ${jid}`]);
    expect(
      (await events()).map(({ reason, inviteCode, previousInviteCode }) => [reason, inviteCode, previousInviteCode]),
    ).toEqual([
      ['adopted', 'OLD', null],
      ['schedule', 'NEW', 'OLD'],
    ]);
  });
  it('is read and published before a one-off', async () => {
    const { run, calls } = await rotationRig(unread, { info: () => shows('OLD'), reset: () => resetTo('NEW') });
    expect(await run(request())).toMatchObject({ status: 'rotated' });
    expect(calls).toEqual([`info ${jid}`, `reset ${jid}`]);
  });
  it('is only read by a verification', async () => {
    const { run, calls } = await rotationRig(unread, { info: () => shows('OLD') });
    expect(await run(verification)).toEqual({ status: 'verified', group: 'vip', published: 'adopted', unverified: 0 });
    expect(calls).toEqual([`info ${jid}`]);
  });
  it('is not reset if it cannot be read', async () => {
    const { run, calls, record } = await rotationRig(unread, { info: () => failed('server_error') });
    expect(await run(scheduled)).toMatchObject({ status: 'retry' });
    expect(calls).toEqual([`info ${jid}`]);
    expect(await record()).toMatchObject({ adopt: true, attempt: null, uncertain: null });
  });
});

describe('an unsettled attempt', () => {
  const abandoned = (over: object = {}) => attempt({ begunAt: t, leaseUntil: t + 10_000, ...over });

  it('is reported as recovered, although the one-off that reads it back needs a newer link', async () => {
    const { run, recovered, events } = await rotationRig(
      { ...settled, attempt: abandoned() },
      { info: () => shows('NEW'), reset: () => resetTo('NEWER') },
    );
    expect(await run(request({ requestedAt: Date.now() }))).toMatchObject({ status: 'rotated' });
    expect(recovered).toEqual(['NEW']);
    expect((await events()).map(({ reason }) => reason)).toEqual(['recovery', 'request']);
  });

  it('is read back once its lease has expired, and the link that we made is published', async () => {
    const { run, record, events } = await rotationRig(
      { ...settled, attempt: abandoned() },
      { info: () => shows('NEW') },
    );
    expect(await run(verification)).toMatchObject({ status: 'verified', published: 'recovery' });
    expect(await record()).toMatchObject({ attempt: null, uncertain: null, link: { code: 'NEW' } });
    expect(await events()).toMatchObject([{ type: 'link.rotated', reason: 'recovery', inviteCode: 'NEW' }]);
  });
  it.each([
    ['disabled', { entry: { ...entry, enabled: false } }],
    ['removed from the file', { removedAt: t }],
    ['a duplicate', { duplicateOf: 'other' }],
  ])('is read back of a group that is %s', async (_name, over) => {
    const { run, events } = await rotationRig(
      { ...settled, attempt: abandoned(), ...over },
      { info: () => shows('NEW') },
    );
    await run(verification);
    expect(await events()).toMatchObject([{ group: 'vip', reason: 'recovery', inviteCode: 'NEW' }]);
  });
  it('of a WhatsApp group whose id names another one is settled, and not published', async () => {
    const over = { removedAt: t, replaced: true };
    const { run, record, events } = await rotationRig(
      { ...settled, attempt: abandoned(), ...over },
      { info: () => shows('NEW') },
    );
    await run(verification);
    expect(await record()).toMatchObject({ attempt: null, uncertain: null, link: { code: 'NEW' } });
    expect(await events()).toEqual([]);
  });
  it.each([
    ['disabled', { entry: { ...entry, enabled: false } }],
    ['removed from the file', { removedAt: t }],
  ])('ends for a group that is %s and whose read was abandoned, so that it leaves the index', async (_name, over) => {
    const read = abandoned({ id: 'r', call: 'verify' });
    const { run, record, calls } = await rotationRig({ ...settled, attempt: read, ...over });
    await run(verification);
    expect(calls).toEqual([]);
    expect(settleAt(await record())).toBeNull();
  });
  it('is read back later if it cannot be read now', async () => {
    const { run, record } = await rotationRig(
      { ...settled, attempt: abandoned() },
      { info: () => failed('server_error') },
    );
    expect(await run(verification)).toMatchObject({ status: 'verified', published: null });
    expect(await record()).toMatchObject({ attempt: null, uncertain: { failedReads: 1, reads: 0 } });
  });
});

describe('an edit during a call', () => {
  it('decides how the call is committed', async () => {
    const other = {
      ...entry,
      instance: 'bot2',
      schedule: { ...entry.schedule, kind: 'every' as const, everyMs: 60_000 },
    };
    const rig = await rotationRig(settled, {
      reset: async () => {
        await rig.change({ entry: other });
        return resetTo('NEW');
      },
    });
    expect(await rig.run(scheduled)).toMatchObject({ status: 'rotated' });
    const { dueAt, rotatedAt } = await rig.record();
    expect(dueAt).toBe(rotatedAt! + 60_000);
    expect(await rig.events()).toMatchObject([{ instance: 'bot2', inviteCode: 'NEW' }]);
  });
  it('that removes the group does not lose the new link', async () => {
    const rig = await rotationRig(settled, {
      reset: async () => {
        await rig.change({ removedAt: t });
        return resetTo('NEW');
      },
    });
    expect(await rig.run(scheduled)).toMatchObject({ status: 'rotated' });
    expect(await rig.events()).toMatchObject([{ group: 'vip', inviteCode: 'NEW' }]);
  });
  it('that renames it publishes its link under the new id', async () => {
    const rig = await rotationRig(settled, {
      reset: async () => {
        await rig.change({ entry: { ...entry, group: 'crew' }, adopt: true });
        return resetTo('NEW');
      },
    });
    expect(await rig.run(request())).toMatchObject({ status: 'rotated', record: { entry: { group: 'crew' } } });
    expect(await rig.events()).toMatchObject([{ group: 'crew', inviteCode: 'NEW' }]);
  });
});

it('waits if this worker does not serve the instance that the group moved to', async () => {
  const moved = { ...settled, entry: { ...entry, instance: 'bot2' } };
  const { run, calls } = await rotationRig(moved);
  expect(await run(scheduled)).toMatchObject({ status: 'wait', why: 'elsewhere' });
  expect(calls).toEqual([]);
});

it('counts failed verifications', async () => {
  const { run, record } = await rotationRig(settled, { info: () => failed('server_error') });
  for (const unverified of [1, 2, 3]) expect(await run(verification)).toMatchObject({ status: 'verified', unverified });
  expect(await record()).toMatchObject({ link: { code: 'OLD' }, unverified: 3 });
});

it('reports a failure for a one-off whose group is a duplicate', async () => {
  const { run, events } = await rotationRig({ ...settled, duplicateOf: 'owner' });
  expect(await run(request())).toMatchObject({ status: 'gaveUp', failure: { code: 'invalid_request' } });
  expect(await events()).toMatchObject([{ type: 'rotation.failed', request: { requestId: 'r1' } }]);
});

describe('a failure', () => {
  const doubted = (code: ErrorCode, isConvicted: boolean) => ({ code, message: code, httpStatus: 500, isConvicted });

  it('that the group is known for fails the job at once, and pauses nothing', async () => {
    const failure = { code: 'unauthorized', message: '', httpStatus: 401, at: t, count: 1, nextAttemptAt: null };
    const rig = await rotationRig({ ...settled, failure }, { reset: () => failed('unauthorized') });
    expect(await rig.run(request())).toMatchObject({ status: 'gaveUp', failure: { code: 'unauthorized' } });
    expect(await rig.redis.exists(rig.keys.gate('bot'))).toBe(0);
  });

  it('of a call never ends the job while the instance is paused for it', async () => {
    const rig = await rotationRig(settled, { reset: () => failed('server_error') });
    // As if two other groups had failed for some seconds.
    await rig.redis.zadd(rig.keys.row('bot', 'reset'), Date.now() - 9_000, 'call/a', Date.now() - 8_000, 'call/b');
    const last = { tries: 2, doubted: null };
    expect(await rig.run(request(), last)).toMatchObject({ status: 'wait', why: 'gate', progress: last });
  });

  it('of a call is retried once more before it ends the job, while another group fails as well', async () => {
    const rig = await rotationRig(settled, { reset: () => failed('server_error') });
    await rig.redis.zadd(rig.keys.row('bot', 'reset'), Date.now() - 1_000, 'call/a');
    expect(await rig.run(request(), { tries: 2, doubted: null })).toMatchObject({ status: 'retry', ms: 5_000 });
    expect(await rig.run(request(), { tries: 3, doubted: null })).toMatchObject({ status: 'gaveUp' });
  });

  it('of the first read no longer counts once that read has worked', async () => {
    const rig = await rotationRig(unread, { info: () => shows('OLD'), reset: () => failed('server_error') });
    expect(await rig.run(request(), { tries: 2, doubted: null })).toMatchObject({
      status: 'retry',
      progress: { tries: 1 },
    });
  });

  it('of a convicted group is doubted for a moment, and then ends the job without another call', async () => {
    const rig = await rotationRig(settled, { reset: () => failed('unauthorized') });
    await rig.redis.hset(rig.keys.culprits('bot'), jid, `unauthorized reset ${Date.now() + 60_000}`);
    const first = await rig.run(request());
    expect(first).toMatchObject({ status: 'doubted', failure: doubted('unauthorized', true) });
    const past = { tries: 0, doubted: doubted('unauthorized', true) };
    expect(await rig.run(request(), past)).toMatchObject({ status: 'gaveUp' });
    expect(rig.calls).toHaveLength(1);
  });

  it('of a convicted group does not count against it if others pause the instance meanwhile', async () => {
    const rig = await rotationRig(settled);
    await failCall(rig, 'bot', 'unauthorized', { group: 'other' });
    const past = { tries: 0, doubted: doubted('unauthorized', true) };
    expect(await rig.run(request(), past)).toMatchObject({ status: 'wait', why: 'gate', progress: { doubted: null } });
  });

  it('is remembered while its call cannot be read back, and ends the job once it was', async () => {
    const reads = [failed('server_error'), failed('timeout', { kind: 'unknown', over: false }), shows('OLD')];
    const rig = await rotationRig(settled, {
      reset: () => failed('group_not_found', { kind: 'unknown' }),
      info: () => reads.shift()!,
    });
    let result = await rig.run(request());
    for (const tries of [1, 2]) {
      expect(result).toMatchObject({ status: 'retry', progress: { tries, doubted: { code: 'group_not_found' } } });
      const { uncertain } = await rig.record();
      await rig.change({ uncertain: { ...uncertain!, readAt: 1 } });
      result = await rig.run(request(), (result as JobResult & { status: 'retry' }).progress);
    }
    expect(result).toMatchObject({ status: 'gaveUp', failure: { code: 'group_not_found' } });
    expect(rig.calls.filter((call) => call.startsWith('reset'))).toHaveLength(1);
  });

  it('is remembered while its call may still take effect, and ends the job once it cannot', async () => {
    const rig = await rotationRig(settled, {
      reset: () => failed('instance_disconnected', { kind: 'unknown', over: false }),
      info: () => shows('OLD'),
    });
    await rig.redis.hset(rig.keys.culprits('bot'), jid, `instance_disconnected reset ${Date.now() + 60_000}`);
    const past = { tries: 0, doubted: doubted('instance_disconnected', true) };
    expect(await rig.run(request())).toMatchObject({ status: 'wait', why: 'settling', progress: past });
    const { uncertain } = await rig.record();
    await rig.change({ uncertain: { ...uncertain!, readAt: 1 } });
    expect(await rig.run(request(), past)).toMatchObject({ status: 'wait', why: 'settling', progress: past });
    await rig.change({ uncertain: { ...uncertain!, openUntil: 1, readAt: 1 } });
    expect(await rig.run(request(), past)).toMatchObject({ status: 'gaveUp' });
    expect(rig.calls.filter((call) => call.startsWith('reset'))).toHaveLength(1);
  });
});

describe('a one-off whose last call failed while its record was changed', () => {
  const past = { tries: 2, doubted: null };
  const reset = () => failed('server_error', { kind: 'rejected' });

  it('ends with the link that answers it', async () => {
    const link = { code: 'NEW', url: 'https://chat.whatsapp.com/NEW' };
    const meanwhile: Partial<GroupRecord> = { link, revision: t, reason: 'request', answered: ['job-1'] };
    const { run, calls, events } = await rotationRig(settled, { reset, meanwhile });
    expect(await run(request(), past)).toMatchObject({ status: 'rotated', record: { link } });
    expect([calls, await events()]).toEqual([[`reset ${jid}`], []]);
  });
  it('is not reported as failed while another worker resets the link for it', async () => {
    const meanwhile = attempt({ request: { ...info, identity: 'job-1' }, leaseUntil: Date.now() + 10_000 });
    const { run, events } = await rotationRig(settled, { reset, meanwhile: { attempt: meanwhile } });
    expect(await run(request(), past)).toMatchObject({ status: 'wait', why: 'busy' });
    expect(await events()).toEqual([]);
  });
  it('looks for the group again if its id names another WhatsApp group by now', async () => {
    const { run, events } = await rotationRig(settled, { reset, meanwhile: { removedAt: t, replaced: true } });
    expect(await run(request(), past)).toMatchObject({ status: 'wait', why: 'elsewhere' });
    expect(await events()).toEqual([]);
  });
  it('fails if another worker resets the link for another one-off', async () => {
    const meanwhile = attempt({ request: { ...info, identity: 'job-2' }, leaseUntil: Date.now() + 10_000 });
    const { run, events } = await rotationRig(settled, { reset, meanwhile: { attempt: meanwhile } });
    expect(await run(request(), past)).toMatchObject({ status: 'gaveUp' });
    expect(await events()).toMatchObject([{ type: 'rotation.failed' }]);
  });
});
