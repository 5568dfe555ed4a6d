/** What the planner releases to an instance whose pause is over while it is unknown whose failure it was. */
import { describe, expect, it } from 'vitest';
import { verifyData } from '../../src/planner/jobs.ts';
import { endPause, failCall } from '../support/gates.ts';
import { jid, plannerRig } from './plannerRig.ts';

const later = 'every: 1d, firstSeen: wait';

async function paused(options: Parameters<typeof plannerRig>[0], code: 'unauthorized' | 'throttled' = 'unauthorized') {
  const rig = await plannerRig(options);
  await failCall(rig, 'bot0', code, { group: jid(0) });
  return rig;
}

describe('a second opinion', () => {
  it('is one read of a group that is not blamed, though nothing is due and verification is off', async () => {
    const rig = await paused({ count: 3, defaults: later });
    const { plan, queueOf } = rig;
    expect(await plan()).toMatchObject({ opinions: 0 });
    await endPause(rig, 'bot0');
    expect(await plan()).toMatchObject({ due: 0, opinions: 1 });
    const [job, ...more] = await queueOf('bot0').getJobs(['prioritized']);
    expect(more).toEqual([]);
    expect([jid(1), jid(2)]).toContain(verifyData.parse(job?.data).record);
  });

  it('is not requested from a blamed group, nor if only a reset can tell, nor while another call is the probe', async () => {
    const alone = await paused({ count: 1, defaults: later });
    await endPause(alone, 'bot0');
    expect(await alone.plan()).toMatchObject({ opinions: 0 });

    const throttled = await paused({ count: 3, defaults: later }, 'throttled');
    await endPause(throttled, 'bot0');
    expect(await throttled.plan()).toMatchObject({ opinions: 0 });

    const probed = await paused({ count: 3, defaults: later });
    await endPause(probed, 'bot0');
    await probed.redis.hset(probed.keys.gate('bot0'), 'probeUntil', Date.now() + 60_000);
    expect(await probed.plan()).toMatchObject({ opinions: 0 });
  });
});

describe('an instance whose pause is over gets one due job', () => {
  it('of a group that is not blamed, if there is one', async () => {
    const rig = await paused({ count: 5 }, 'throttled');
    const { plan, released, overdue } = rig;
    await overdue(0, 60_000);
    await overdue(3, 50_000);
    await endPause(rig, 'bot0');
    expect(await plan()).toMatchObject({ due: 5, released: 1 });
    expect(await released()).toEqual([['scheduled', 'g3']]);
  });

  it('of a blamed group if there is no other', async () => {
    const rig = await paused({ count: 1 }, 'throttled');
    const { plan, released } = rig;
    await endPause(rig, 'bot0');
    expect(await plan()).toMatchObject({ due: 1, released: 1 });
    expect(await released()).toEqual([['scheduled', 'g0']]);
  });
});
