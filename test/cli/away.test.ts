/** Commands that wait end in time while Redis is unreachable or a queue is paused or emptied. */
import { Queue } from 'bullmq';
import { expect, inject, it, onTestFinished } from 'vitest';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { until } from '../support/until.ts';

async function makeRig(more = 0) {
  const rig = await makeCliRig('ops: off\nverify: off', { more });
  const proxy = await createFaultProxy(Number(new URL(inject('redisUrl')).port));
  onTestFinished(() => proxy.close());
  const prefix = rig.keys.registered.split(':')[0] ?? '';
  const queue = new Queue('rotations-bot', { connection: rig.redis, prefix });
  const events = new Queue('invite-links', { connection: rig.redis, prefix });
  onTestFinished(async () => {
    await Promise.all([queue.close(), events.close()]);
  });
  const env = { ...rig.env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` };
  return { ...rig, proxy, queue, events, env };
}

it('rotate --wait --timeout includes the connection to Redis', async () => {
  const { proxy, env } = await makeRig();
  proxy.blackHole();
  const rotated = run(['rotate', 'vip', '--wait', '--timeout', '1s'], { env });
  expect([await rotated.ended, rotated.stderr]).toEqual([1, 'Redis did not accept the requests within 1s\n']);
});

it('rotate --wait --timeout ends while Redis is unreachable, and says that the request stays queued', async () => {
  const { proxy, env } = await makeRig(11);
  const rotated = run(['rotate', '--all', '--yes', '--wait', '--timeout', '4s'], { env });
  // Written once Redis has accepted all requests.
  await until('the requests', () => rotated.stderr.includes('12 groups: this takes '));
  await proxy.refuse();
  expect(await rotated.ended).toBe(1);
  expect(rotated.stderr).toContain(
    'vip  waiting  no link within 4s: Redis does not answer; the request stays queued\n',
  );
});

it('rotate --wait reports at once that its queue was paused, drained or obliterated', async () => {
  const { env, queue } = await makeRig();
  const act = async (wipe: () => Promise<void>) => {
    const rotated = run(['rotate', 'vip', '--wait', '--timeout', '50s'], { env });
    await until('the request', async () => (await queue.getWaitingCount()) === 1);
    await wipe();
    expect(await rotated.ended).toBe(1);
    return rotated.stderr;
  };
  const gone = /^vip {2}failed {2}job \S+ is no longer on rotations-bot: it was removed, or the queue was emptied\n$/;
  expect(await act(() => queue.drain())).toMatch(gone);
  expect(await act(() => queue.obliterate({ force: true }))).toMatch(gone);
  expect(await act(() => queue.pause())).toBe(
    'vip  waiting  rotations-bot is paused: resume it; the request stays queued\n',
  );
});

it('consume ends at SIGTERM while Redis is unreachable', async () => {
  const { proxy, env, events } = await makeRig();
  const worker = run(['start'], { env: { ...env, REDIS_URL: inject('redisUrl') } });
  const consumer = run(['consume'], { env });
  await logged(worker, 'link.adopted');
  await until('the event', () => consumer.json().length === 1);
  await until('it to be acknowledged', async () => (await events.getCompletedCount()) === 1);
  for (const fail of [() => proxy.refuse(), () => proxy.blackHole()]) {
    await proxy.heal();
    const next = run(['consume'], { env });
    await until('it to consume', () => next.stderr.includes('consuming'));
    await fail();
    next.child.kill('SIGTERM');
    // Redis is still unreachable then.
    expect(await next.ended).toBe(0);
  }
});
