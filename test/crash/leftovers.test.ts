/** A worker is killed in the middle of a one-off, and its instance has another name, or no group, when one starts again. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { logged } from '../support/cli.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { jids, makeRig, noProxy } from './rig.ts';

/** It takes a minute until an instance that no file has is left to any worker. */
const slow = { timeout: 300_000 };

/** `rotations-bot` holds a one-off whose reset has taken effect without an answer. */
async function killed() {
  const base = testRedis();
  const rig = await makeRig({ ...base, url: null, env: { REDIS_URL: base.url } }, noProxy, {
    instances: ['bot', 'bot2'],
  });
  const resets = () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! });
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0, 1, 2, 3);
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 100 }, { endpoint: 'reset' });
  const job = await rig.queue.add('rotate', { group: 'g0', requestId: 'r-1' });
  await until('the effect', () => resets()[0]?.effect != null);
  worker.child.kill('SIGKILL');
  await worker.ended;
  const edit = (from: string, to: string) => writeFileSync(rig.file, readFileSync(rig.file, 'utf8').replace(from, to));
  return { rig, job, resets, edit };
}

it('answers it once, on its old queue, after its instance was renamed', slow, async () => {
  const { rig, job, resets, edit } = await killed();
  edit('{ name: bot,', '{ name: bot2,');
  const next = rig.start();
  expect(await rig.end(job)).toBe('completed');
  const done = await rig.queue.getJob(job.id!);
  expect(done?.returnvalue).toMatchObject({ status: 'recovered', inviteCode: rig.standIn.codeOf(jids[0]!) });
  await rig.expectLive(0);
  expect(rig.eventsOf(0)).toMatchObject([{ reason: 'recovery', instance: 'bot2', request: { requestId: 'r-1' } }]);
  expect(resets()).toHaveLength(1);
  next.child.kill('SIGTERM');
  expect(await next.ended).toBe(0);
});

it('fails it with an event after its instance was replaced by one that has other groups', slow, async () => {
  const { rig, job, edit } = await killed();
  const other = `groups: [{ id: g3, identifier: "${jids[3]}" }]`;
  edit('{ name: bot,', '{ name: bot2,');
  edit(/groups: .*/.exec(readFileSync(rig.file, 'utf8'))![0], other);
  const next = rig.start();
  await until('it to fail', async () => (await job.getState()) === 'failed', { withinMs: 150_000 });
  const failed = await until('the event', () => rig.events.find(({ type }) => type === 'rotation.failed'));
  expect(failed).toMatchObject({ group: 'g0', request: { requestId: 'r-1' } });
  next.child.kill('SIGTERM');
  expect(await next.ended).toBe(0);
});
