/** Real workers whose Redis loses everything while they run. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { makeKeys } from '../../src/redis/keys.ts';
import { logged } from '../support/cli.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { freePort, startRedisServer } from '../support/redisServer.ts';
import { until } from '../support/until.ts';
import { jids, makeRig } from './rig.ts';

async function own() {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-emptied-'));
  const binary = inject('redisServer');
  const port = await freePort();
  let server = await startRedisServer({ binary, folder, port });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    redis,
    url: server.url,
    async restartEmpty() {
      const exited = once(server.child, 'exit');
      server.child.kill('SIGKILL');
      await exited;
      server = await startRedisServer({ binary, folder, port });
    },
  };
}

type Own = Awaited<ReturnType<typeof own>>;

/** The third is rotated as soon as it is registered; none of the others is due within the first hour. */
const groupsYaml = jids
  .map((jid, i) => `{ id: g${i}, identifier: "${jid}"${i === 3 ? ', firstSeen: rotate' : ''} }`)
  .join(', ');

it.each([
  ['by FLUSHALL', ({ redis }: Own) => redis.flushall()],
  ['by a restart without its data', ({ restartEmpty }: Own) => restartEmpty()],
] as const)('continues within fourteen beats when Redis is emptied %s', { timeout: 150_000 }, async (_how, empty) => {
  const server = await own();
  const opsPort = await freePort();
  const rig = await makeRig({ url: server.url, prefix: 'bull', redis: server.redis }, createFaultProxy, {
    groupsYaml,
    ops: `{ port: ${opsPort} }`,
  });
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0, 1, 2, 3);
  expect(await rig.rotate('g0')).toBe('completed');
  await until('the first rotation', () => rig.eventsOf(3).length === 1);
  const resets = () => rig.standIn.log.of({ endpoint: 'reset' }).map(({ jid }) => jids.indexOf(jid!));
  expect(resets().sort()).toEqual([0, 3]);

  const before = rig.events.length;
  const ticksBefore = rig.ticks(worker);
  await empty(server);
  const job = await rig.ask('g1');
  const adoptedAgain = () => rig.events.slice(before).filter(({ reason }) => reason === 'adopted');
  const recovered = async () =>
    (await job.isCompleted()) &&
    new Set(adoptedAgain().map(({ group }) => group)).size === 4 &&
    rig.ticks(worker) > ticksBefore + 1;
  // The worker announces every two seconds that it lives, and less often on a busy machine. Six beats are usual. A
  // recovery that waits for a check that is made every 30 s would exceed the bound.
  const beats = new Set<string>();
  await until('the one-off, the adoption of every link and ticks', async () => {
    const [, beat] = await server.redis.zrange(makeKeys('bull').workers, '0', '-1', 'WITHSCORES');
    if (beat !== undefined) beats.add(beat);
    return await recovered();
  });
  expect(beats.size).toBeLessThanOrEqual(14);

  expect(resets().sort()).toEqual([0, 1, 3]);
  for (const [i, jid] of jids.entries()) {
    const mine = () => rig.events.filter(({ group }) => group === `g${i}`);
    await until(`the live link of g${i}`, () => mine().at(-1)?.inviteCode === rig.standIn.codeOf(jid));
    const revisions = mine().map(({ revision }) => revision!);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  }
  await until('it to be ready', async () => (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).status === 200);
  const told = worker.json().filter(({ event }) => event === 'redis.emptied');
  expect(told).toMatchObject([{ level: 50 }]);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
});

it('never makes two resets of a group at once when Redis is emptied during its call', {
  timeout: 150_000,
}, async () => {
  const server = await own();
  const rig = await makeRig({ url: server.url, prefix: 'bull', redis: server.redis }, createFaultProxy);
  const workers = [rig.start(), rig.start(), rig.start()];
  await Promise.all(workers.map((worker) => logged(worker, 'started')));
  await rig.adopted(0, 1, 2, 3);
  const resets = (i: number) => rig.standIn.log.of({ endpoint: 'reset', jid: jids[i]! });
  const calls = [0, 1, 2, 3];
  // Two are answered late, one takes effect at once and one late, both without an answer.
  rig.standIn.faults.next({ kind: 'slow', ms: 2_500 }, { endpoint: 'reset', jid: jids[0]! });
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 0 }, { endpoint: 'reset', jid: jids[1]! });
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 5_500 }, { endpoint: 'reset', jid: jids[2]! });
  rig.standIn.faults.next({ kind: 'slow', ms: 700 }, { endpoint: 'reset', jid: jids[3]! });
  for (const i of calls) await rig.ask(`g${i}`);
  await until('the calls', () => calls.every((i) => resets(i).length === 1));
  const before = rig.events.length;
  await server.redis.flushall();
  // BullMQ counts from 1 again: none of these may be taken for one of the lost jobs.
  const asked = await Promise.all(calls.map(async (i) => ({ i, from: Date.now(), job: await rig.ask(`g${i}`) })));
  const newest = (i: number) => rig.events.slice(before).findLast(({ group }) => group === `g${i}`);
  for (const { i, from, job } of asked) {
    expect(await rig.end(job), `g${i}`).toBe('completed');
    const { history } = rig.standIn.group(jids[i]!);
    const { returnvalue } = (await rig.queue.getJob(job.id!))!;
    expect(history.find(({ code }) => code === returnvalue.inviteCode)!.from, `g${i}`).toBeGreaterThan(from);
    await until(`the live link of g${i}`, () => newest(i)?.inviteCode === rig.standIn.codeOf(jids[i]!));
    expect(rig.standIn.log.maxResetsInFlight(jids[i]!), `g${i}`).toBe(1);
    // Nor may a reset begin while an earlier one without an answer may still take effect.
    expect(resets(i)[1]!.begin - resets(i)[0]!.begin, `g${i}`).toBeGreaterThan(5_500);
  }
  for (const worker of workers) {
    const told = () => worker.json().filter(({ event }) => event === 'redis.emptied').length === 1;
    await until('each to say so once', told);
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
  }
});

it('publishes a link that is made after Redis was emptied, by a call without an answer', {
  timeout: 150_000,
}, async () => {
  const server = await own();
  const rig = await makeRig({ url: server.url, prefix: 'bull', redis: server.redis }, createFaultProxy);
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0, 1, 2, 3);
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 5_500 }, { endpoint: 'reset' });
  await rig.ask('g0');
  await until('the call', () => rig.standIn.log.of({ endpoint: 'reset' }).length === 1);
  const before = rig.events.length;
  await server.redis.flushall();
  await until('the effect', () => rig.standIn.log.of({ endpoint: 'reset' })[0]?.effect);
  const newest = () => rig.events.slice(before).findLast(({ group }) => group === 'g0');
  await until('the live link', () => newest()?.inviteCode === rig.standIn.codeOf(jids[0]!));
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
});
