/** What the checker of the storm accepts as the end of a one-off. */
import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import { event, first, jid, job, one, place, promisesBroken, published, right, t, two } from './samples.ts';

describe('a one-off', () => {
  const refused = { ...job, state: 'failed', failedReason: 'unknown group "vip": it is not in the file', result: null };
  const elsewhere = { ...refused, failedReason: 'group "vip" belongs to instance "bot2": push it there' };
  const places = { [jid]: [place, { ...place, from: t + 950, instance: 'bot2' }] };
  const failure = { ...event(t + 950, 'ONE', null), type: 'rotation.failed', request: { requestId: job.requestId } };
  const withFailure = published(first, one, two, failure);

  it('may be refused if its group was edited', () => {
    expect(promisesBroken({ jobs: [refused, elsewhere], places, ...withFailure })).toEqual([]);
    expect(check({ ...right, jobs: [refused, elsewhere], ...withFailure })[0]?.violations).toHaveLength(2);
  });

  it('has its refusal reported by an event', () => {
    expect(check({ ...right, jobs: [refused], places })[0]?.violations).toEqual([
      `links: no event reports that ${job.requestId} failed`,
    ]);
  });

  it('has each failure reported once, and none if it was answered', () => {
    const again = { ...failure, id: `vip.${t + 960}` };
    const twice = published(first, one, two, failure, again);
    const reports = (state: string, retries: number, events: typeof twice) => {
      const jobs = [{ ...(state === 'failed' ? refused : job), retries }];
      return check({ ...right, jobs, places, ...events }).flatMap(({ violations }) => violations);
    };
    expect(reports('failed', 0, published(first, one, two, failure, failure))).toEqual([]);
    expect(reports('failed', 1, twice)).toEqual([]);
    expect(reports('completed', 1, withFailure)).toEqual([]);
    expect(reports('failed', 0, twice)).toEqual([`links: 2 failure events for ${job.requestId}, which is failed`]);
    expect(reports('completed', 0, withFailure)).toEqual([
      `links: 1 failure events for ${job.requestId}, which is completed`,
    ]);
  });

  it('may be refused if its group was not in the file or belongs to another instance', () => {
    const jobs = [
      { ...refused, name: 'gone' },
      { ...elsewhere, queue: 'rotations-bot2' },
    ];
    expect(promisesBroken({ jobs, ...withFailure })).toEqual([]);
  });

  it('that reports a leaked link may be answered with an older link, but not with the leaked one', () => {
    const asked = { ...job, name: jid, requestedAt: t + 1_500 };
    expect(promisesBroken({ jobs: [{ ...asked, code: 'ONE' }] })).toEqual([]);
    expect(promisesBroken({ jobs: [{ ...asked, code: 'TWO' }] })).toHaveLength(1);
    expect(promisesBroken({ jobs: [asked] })).toHaveLength(1);
  });

  it('may vanish if its queue was emptied after it was pushed', () => {
    const wipe = { kind: 'wipe', from: t + 910, to: t + 950, queue: 'rotations-bot' } as const;
    const jobs = [{ ...job, state: 'unknown', result: null }];
    expect(promisesBroken({ jobs, incidents: [wipe] })).toEqual([]);
    expect(promisesBroken({ jobs, incidents: [{ ...wipe, queue: 'rotations-bot2' }] })).toHaveLength(1);
    expect(promisesBroken({ jobs, incidents: [{ ...wipe, from: t, to: t + 100 }] })).toHaveLength(1);
  });

  it('may wait forever on the queue of an instance that no file has', () => {
    const jobs = [{ ...job, state: 'waiting', result: null }];
    expect(promisesBroken({ jobs, instances: ['bot2'] })).toEqual([]);
    expect(promisesBroken({ jobs })).toHaveLength(1);
  });
});
