/**
 * Four workers share instances, and one of them is killed under load. With `INSTANCES=400`, as many as a large
 * installation has.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type Job, Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { readServers } from '../../src/groups/members.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { logged, type Run, run } from '../support/cli.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const count = Number(process.env.INSTANCES ?? 40);
const token = 'secret-token-of-this-test';
const names = Array.from({ length: count }, (_, i) => `bot${i}`);
const jidOf = (i: number) => `1203630000${String(i).padStart(8, '0')}@g.us`;

async function installation() {
  const { redis, prefix, url, keys } = testRedis();
  const standIn = await startStandIn({
    instances: names,
    tokens: [{ token }],
    groups: names.map((_, i) => ({ jid: jidOf(i) })),
    limit: { limit: 1_000_000 },
    latency: { minMs: 50, maxMs: 150 },
  });
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-sharing-'));
  const file = join(folder, 'rotation.yaml');
  const instance = (name: string) => `{ name: ${name}, tokenEnv: TOKEN, rateLimit: { max: 100000 } }`;
  writeFileSync(
    file,
    `api: { baseUrl: "${standIn.url}", timeout: 5s, settleTime: 6s }
instances: [${names.map(instance).join(', ')}]
defaults: { every: 1h, firstSeen: wait }
groups: [${names.map((name, i) => `{ id: g${i}, identifier: "${jidOf(i)}", instance: ${name} }`).join(', ')}]
redis: { prefix: "${prefix}" }
verify: off
ops: off`,
  );
  const queues = names.map((name) => {
    const queue = new Queue(`rotations-${name}`, { connection: redis, prefix, skipMetasUpdate: true });
    queue.setMaxListeners(0);
    return queue;
  });
  onTestFinished(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const instanceOf = new Map(queues.map(({ name }, i) => [Buffer.from(name).toString('base64'), i]));
  const pids = new Map<string, number>();
  /** As a Redis user of its own, by which its connections are known. */
  async function start(name: string): Promise<Run> {
    const own = new URL(url);
    own.username = `${prefix}-${name}`;
    own.password = 'any';
    await redis.acl('SETUSER', own.username, 'on', 'nopass', 'allkeys', 'allchannels', 'allcommands');
    onTestFinished(async () => void (await redis.acl('DELUSER', own.username)));
    const worker = run(['start'], { env: { REDIS_URL: own.href, ROTATOR_CONFIG: file, TOKEN: token } });
    pids.set(own.username, worker.child.pid!);
    return worker;
  }
  /** For each instance, the connections that wait for its jobs, as Redis lists them. A killed process's are gone. */
  async function connections(): Promise<readonly Connections[]> {
    const found = names.map(() => new Map<string, number>());
    for (const line of String(await redis.client('LIST')).split('\n')) {
      const [, id = '', name = '', user = ''] = /^id=(\d+) .* name=(\S+) .* user=(\S+)/.exec(line) ?? [];
      const i = name.startsWith(`${prefix}:`) ? instanceOf.get(name.slice(prefix.length + 1)) : undefined;
      if (i !== undefined) found[i]?.set(id, pids.get(user) ?? 0);
    }
    return found;
  }
  /** For each instance, the processes that are to serve it, by what the workers say about themselves. */
  async function chosen(): Promise<readonly (readonly number[])[]> {
    const servers = await readServers(createDatabase(redis, prefix));
    return names.map((name) => ascending(servers(name).map(({ pid }) => pid)));
  }
  /** By worker, the time at which it announced last that it lives. */
  async function beats(): Promise<ReadonlyMap<string, string>> {
    const flat = await redis.zrange(keys.workers, '0', '-1', 'WITHSCORES');
    return new Map(flat.flatMap((id, i) => (i % 2 === 0 ? [[id, flat[i + 1]!] as const] : [])));
  }
  async function everyBeat(): Promise<void> {
    const seen = await beats();
    await until('each worker to beat', async () => [...(await beats())].every(([id, at]) => seen.get(id) !== at));
  }
  return { standIn, queues, connections, start, chosen, beats, everyBeat };
}

/** Of one instance: the id of each, and the process that has it. */
type Connections = ReadonlyMap<string, number>;

const ascending = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);
/** How many other workers it has said last that there are. */
const othersOf = (worker: Run) => worker.json().findLast(({ event }) => event === 'instances.shared')?.others;
const pidsOf = (connections: Connections) => ascending(connections.values());

it('serves the instances of a worker that is killed elsewhere within eight beats, moves no other, and doubles nothing', {
  timeout: 180_000,
}, async () => {
  const { standIn, queues, connections, start, chosen, beats, everyBeat } = await installation();
  const workers = await Promise.all(['a', 'b', 'c', 'd'].map(start));
  for (const worker of workers) await logged(worker, 'started');
  const [killed] = workers;

  const pushed: { readonly i: number; readonly job: Job }[] = [];
  let isLoaded = true;
  const load = (async () => {
    for (let n = 0; isLoaded; n++) {
      const i = (7 * n) % count;
      pushed.push({ i, job: await queues[i]!.add('rotate', { group: `g${i}`, requestId: `r${n}` }) });
      await sleep(20);
    }
  })();
  await until('resets', () => standIn.log.of({ endpoint: 'reset' }).length > count / 2);
  /** The connections, if each worker knows the others and has those of its share. */
  const settled = async () => {
    const [now, wanted] = [await connections(), await chosen()];
    const isSettled = workers.every((worker) => othersOf(worker) === 3) && isDeepStrictEqual(now.map(pidsOf), wanted);
    return isSettled ? now : null;
  };
  const before = await until('each worker to serve its share and no more', async () => {
    if ((await settled()) === null) return null;
    // Whoever has just been noticed is soon taken for dead. After two beats of all, each has seen each beat.
    for (let i = 0; i < 2; i++) await everyBeat();
    return await settled();
  });
  for (const own of before) expect(own.size).toBe(2);

  killed!.child.kill('SIGKILL');
  await killed!.ended;
  // By process: BullMQ makes a connection again whose answer comes late, as on a busy machine.
  const servedBefore = before.map((own) => new Set(pidsOf(own)));
  const kept = servedBefore.map((pids) => [...pids].filter((pid) => pid !== killed!.child.pid));
  /** The processes that came to serve each instance since, at any time. */
  const came = names.map(() => new Set<number>());
  const look = async () => {
    const now = await connections();
    for (const [i, own] of now.entries())
      for (const pid of pidsOf(own)) if (!servedBefore[i]?.has(pid)) came[i]?.add(pid);
    return now;
  };
  /** By worker, the times at which it announced since that it lives, which it does every two seconds: eight beats are 16 s. */
  const beaten = new Map<string, Set<string>>();
  /** How often those that live did so. The first one seen of each came before. */
  const beatsSince = () => Math.max(...[...beaten.values()].map(({ size }) => size - 1));
  const isNoticed = () => workers.slice(1).every((worker) => othersOf(worker) === 2);
  let noticedAfter: number | null = null;
  await until('its instances to be served elsewhere', async () => {
    for (const [id, at] of await beats()) beaten.set(id, (beaten.get(id) ?? new Set()).add(at));
    if (isNoticed()) noticedAfter ??= beatsSince();
    const now = await look();
    return noticedAfter !== null && now.every((own) => own.size === 2 && !pidsOf(own).includes(killed!.child.pid!));
  });
  expect(noticedAfter).toBeLessThanOrEqual(7);
  expect(beatsSince()).toBeLessThanOrEqual(8);
  isLoaded = false;
  await load;
  for (const { i, job } of pushed) await until(`the answer to a one-off for g${i}`, () => job.isCompleted());
  for (const [i, own] of (await look()).entries()) expect(pidsOf(own)).toEqual(expect.arrayContaining(kept[i]!));
  expect(came.map(({ size }) => size)).toEqual(kept.map(({ length }) => 2 - length));
  expect(came.filter(({ size }) => size === 1).length).toBeGreaterThan(count / 4);
  for (const i of names.keys()) {
    const jid = jidOf(i);
    const asked = pushed.filter((one) => one.i === i).length;
    expect(standIn.log.maxResetsInFlight(jid)).toBeLessThanOrEqual(1);
    expect(standIn.log.of({ endpoint: 'reset', jid }).length).toBeLessThanOrEqual(asked);
  }
});
