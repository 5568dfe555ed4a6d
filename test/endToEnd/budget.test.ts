import { expect, it } from 'vitest';
import type { StandInOptions } from '../../dev/standin/standIn.ts';
import { bucketOf } from '../../src/budget/budget.ts';
import { jids, makeRig, type Rig, token } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** `count` groups g0, g1, ... of one instance. */
function groups(count: number, more = 'firstSeen: wait', instance = (_: number) => 'bot'): string {
  const entry = (i: number) =>
    `  - { id: g${i}, identifier: "${jids[i]}", instance: ${instance(i)}, every: 1h, ${more} }`;
  return `\ngroups:\n${Array.from({ length: count }, (_, i) => entry(i)).join('\n')}\nverify: off`;
}
const bots = (settings: string) => `
instances: [{ name: bot, tokenEnv: TOKEN, ${settings} }, { name: bot2, tokenEnv: TOKEN, ${settings} }]`;
/** Starts as if each link had been read and published before, so that only resets are counted. */
async function startAdopted(
  yaml: string,
  count: number,
  standIn: Partial<StandInOptions> = {},
  onFirstCall = (_rig: Rig) => {},
) {
  const rig = await makeRig({ yaml: yaml.replaceAll('every: 1h', 'every: 1h, enabled: false'), standIn });
  rig.standIn.faults.random(({ id }) => {
    if (id === 1) onFirstCall(rig);
    return null;
  });
  const service = await rig.start();
  for (let i = 0; i < count; i++) await rig.change(`g${i}`, { adopt: false, readDueAt: null });
  const edit = (text: string) => {
    rig.edit(text);
    service.reload();
  };
  edit(yaml);
  return { ...rig, edit };
}
const world = (count: number) => jids.slice(0, count).map((jid) => ({ jid }));

it('leaves room for requests that others make with the token, and logs them', async () => {
  const rig = await startAdopted(
    bots('rateLimit: { max: 10, per: 5s, reserve: 1 }') + groups(12, 'firstSeen: rotate'),
    12,
    {
      limit: { perMs: 5_000, limit: 10 },
      groups: world(12),
      latency: { minMs: 5, maxMs: 30 },
      countAt: 'answer',
    },
    // In the same window as that call, whenever it comes.
    ({ standIn }) => standIn.useToken(token, 6),
  );
  await until('all twelve', () => rig.standIn.log.of({ endpoint: 'reset', status: 200 }).length === 12);
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
  expect(rig.logged.filter(({ event }) => event === 'limit.shared')).toHaveLength(1);
});

it('keeps one limit for two instances that share a token', async () => {
  const rig = await makeRig({
    yaml:
      bots('rateLimit: { max: 6, per: 1500ms, reserve: 1 }') +
      groups(14, 'firstSeen: rotate', (i) => (i % 2 === 0 ? 'bot' : 'bot2')),
    standIn: { limit: { perMs: 1_500, limit: 6 }, groups: world(14), latency: { minMs: 5, maxMs: 60 } },
  });
  await rig.start();
  await until('all of both', () => rig.standIn.log.of({ endpoint: 'reset', status: 200 }).length === 14);
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
  expect(rig.standIn.log.maxInAnyWindow(token, 1_500)).toBeLessThanOrEqual(6);
});

it('logs once that the limit is higher than the file says, and stays within the file', async () => {
  const rig = await makeRig({
    yaml: bots('rateLimit: { max: 3, per: 1s, reserve: 0 }') + groups(7, 'firstSeen: rotate'),
    standIn: { limit: { perMs: 1_000, limit: 50 } },
  });
  await rig.start();
  await until('all seven', () => rig.standIn.log.of({ endpoint: 'reset', status: 200 }).length === 7);
  expect(rig.standIn.log.maxInAnyWindow(token, 1_000)).toBeLessThanOrEqual(3);
  const said = rig.logged.filter(({ event }) => String(event).startsWith('limit.'));
  expect(said).toMatchObject([{ event: 'limit.higher', limit: 50, configured: 3 }]);
});

it('sends one-offs from the reserve while scheduled work waits, and then before it', async () => {
  const yaml =
    bots('rateLimit: { max: 10, reserve: 3 }') +
    groups(30, 'firstSeen: rotate').replace(/(g2[6-9].*)firstSeen: rotate/g, '$1firstSeen: wait');
  const rig = await startAdopted(yaml, 30, {
    ...{ limit: { limit: 10 }, groups: world(30), latency: { minMs: 5, maxMs: 40 } },
  });
  const resets = () => rig.standIn.log.of({ endpoint: 'reset', status: 200 });
  await until('what is not in reserve to be used', () => resets().length === 7);
  const asked = await Promise.all(['g26', 'g27', 'g28'].map((group) => rig.ask('bot', { group })));
  expect(asked).toMatchObject([{ status: 'rotated' }, { status: 'rotated' }, { status: 'rotated' }]);
  expect(resets()).toHaveLength(10);
  // This window is used up: the fourth waits for the first slot that is given back.
  const askedAt = performance.now();
  const fourth = await rig.queue('bot').add('rotate', { group: 'g29' });
  await until('it to wait', () => fourth.isDelayed());
  const lagMs = performance.now() - askedAt;
  const slots = rig.keys.slots(bucketOf(token));
  const [first] = await rig.redis.zrange(slots, '0', '0');
  const firstBack = Number(await rig.redis.zscore(slots, first!));
  const delayed = await rig.queue('bot').getJob(fourth.id!);
  const wakesAt = delayed!.timestamp + delayed!.delay;
  // It wakes later by as much as it took to be delayed.
  expect(Math.abs(firstBack - wakesAt)).toBeLessThan(1_000 + lagMs);
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
});

it('keeps the pace between scheduled resets of an instance', async () => {
  const rig = await makeRig({ yaml: bots('pace: 2s') + groups(3, 'firstSeen: rotate') });
  await rig.start();
  /** The times, by Redis's clock, at which resets were allowed. A request may take longer than the next one. */
  const allowed = new Set<number>();
  const look = async () => {
    const at = await rig.redis.get(rig.keys.pace('bot'));
    if (at !== null) allowed.add(Number(at));
  };
  await until('all three', async () => {
    await look();
    return rig.standIn.log.of({ endpoint: 'reset', status: 200 }).length === 3;
  });
  await look();
  const times = [...allowed];
  expect(times).toHaveLength(3);
  for (const [i, at] of times.slice(1).entries()) expect(at - times[i]!).toBeGreaterThanOrEqual(2_000);
});

it('respects a closed gate after a restart, keeps the order of waiting jobs, and probes with one call when it opens', async () => {
  const rig = await makeRig({ yaml: bots('concurrency: 3') + groups(8) });
  rig.standIn.setConnection('bot', 'disconnected');
  const first = await rig.start();
  const asked = [rig.ask('bot', { group: 'g0' })];
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  for (let i = 1; i < 8; i++) asked.push(rig.ask('bot', { group: `g${i}` }));
  await first.close();
  const before = rig.standIn.log.all.length;

  rig.standIn.setConnection('bot', 'connected');
  await rig.start();
  const waiting = async () => (await rig.queue('bot').getJobs(['wait'], 0, -1, true)).map((job) => job.data.group);
  await until('all to wait in their order', async () => (await waiting()).join() === 'g0,g1,g2,g3,g4,g5,g6,g7');
  expect(rig.standIn.log.all).toHaveLength(before);

  // As if its pause were over. The first call is slow, so that others could be in flight with it.
  rig.standIn.faults.next({ kind: 'slow', ms: 400 });
  await rig.redis.hset(rig.keys.gate('bot'), 'until', 0);
  await rig.queue('bot').removeRateLimitKey();
  expect(await Promise.all(asked)).toHaveLength(8);
  const [probe, ...rest] = rig.standIn.log.all.slice(before);
  // A group other than the one that closed it.
  expect(probe?.jid).not.toBe(jids[0]);
  for (const { begin } of rest) expect(begin).toBeGreaterThanOrEqual(probe!.end!);
});

it('puts running jobs back in their order when a gate closes', async () => {
  const rig = await makeRig({ yaml: bots('concurrency: 4') + groups(10) });
  await rig.start();
  await rig.ask('bot', { group: 'g9' });
  rig.standIn.setConnection('bot', 'disconnected');
  const asked = Array.from({ length: 9 }, (_, i) => rig.ask('bot', { group: `g${i}` }).catch(() => null));
  await until('the gate to close', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  const waiting = async () => (await rig.queue('bot').getJobs(['wait'], 0, -1, true)).map((job) => job.data.group);
  await until('all to wait in their order', async () => (await waiting()).join() === 'g0,g1,g2,g3,g4,g5,g6,g7,g8');
  rig.standIn.setConnection('bot', 'connected');
  await rig.redis.del(rig.keys.gate('bot'));
  await rig.queue('bot').removeRateLimitKey();
  await Promise.all(asked);
});

it('lets waiting jobs retry when an edit raises the limit', async () => {
  const yaml = (max: number) => bots(`rateLimit: { max: ${max}, reserve: 0 }`) + groups(5);
  const rig = await startAdopted(yaml(2), 5);
  const asked = Array.from({ length: 5 }, (_, i) => rig.ask('bot', { group: `g${i}` }));
  await until('three to wait for a minute', async () => (await rig.queue('bot').getDelayedCount()) === 3);
  rig.edit(yaml(100));
  expect(await Promise.all(asked)).toHaveLength(5);
});
