/**
 * Four workers share instances, and one of them is killed under load. With `INSTANCES=400`, as many as a large
 * installation has.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { logged, run } from '../support/cli.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const count = Number(process.env.INSTANCES ?? 40);
const token = 'secret-token-of-this-test';
const names = Array.from({ length: count }, (_, i) => `bot${i}`);
const jidOf = (i: number) => `1203630000${String(i).padStart(8, '0')}@g.us`;

async function installation() {
  const { redis, prefix, url } = testRedis();
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
    `api: { baseUrl: "${standIn.url}", timeout: 1s, settleTime: 2s }
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
  /** For each instance, the connections that wait for its jobs, as Redis lists them. A killed process's are gone. */
  async function connections(): Promise<readonly ReadonlySet<string>[]> {
    const found = names.map(() => new Set<string>());
    for (const line of String(await redis.client('LIST')).split('\n')) {
      const [, id = '', name = ''] = /^id=(\d+) .* name=(\S+)/.exec(line) ?? [];
      const i = name.startsWith(`${prefix}:`) ? instanceOf.get(name.slice(prefix.length + 1)) : undefined;
      if (i !== undefined) found[i]?.add(id);
    }
    return found;
  }
  const start = () => run(['start'], { env: { REDIS_URL: url, ROTATOR_CONFIG: file, TOKEN: token } });
  return { standIn, queues, connections, start };
}

const difference = (of: ReadonlySet<string> = new Set(), without: ReadonlySet<string> = new Set()) =>
  [...of].filter((one) => !without.has(one));

it('serves the instances of a worker that is killed elsewhere within 15 s, moves no other, and doubles nothing', {
  timeout: 180_000,
}, async () => {
  const { standIn, queues, connections, start } = await installation();
  const workers = Array.from({ length: 4 }, start);
  for (const worker of workers) await logged(worker, 'started');
  const twoEach = async () => {
    const now = await connections();
    return now.every(({ size }) => size === 2) ? now : null;
  };
  await until('each instance to be served by two of the workers', twoEach);

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
  const before = await connections();
  workers[0]!.child.kill('SIGKILL');
  await workers[0]!.ended;
  const lost = (
    await until('its connections to be gone', async () => {
      const now = await connections();
      return now.some(({ size }) => size < 2) ? now : null;
    })
  ).map((now, i) => difference(before[i], now).length);
  /** The connections that each instance got since, at any time. */
  const came = names.map(() => new Set<string>());
  await until(
    'its instances to be served elsewhere',
    async () => {
      const now = await connections();
      for (const [i, own] of now.entries()) for (const id of difference(own, before[i])) came[i]?.add(id);
      // The planner's worker and leftovers are not among them.
      return now.every(({ size }) => size === 2);
    },
    { withinMs: 15_000 },
  );
  isLoaded = false;
  await load;
  expect(came.map(({ size }) => size)).toEqual(lost);
  expect(lost.filter((one) => one === 1).length).toBeGreaterThan(count / 4);

  for (const { i, job } of pushed) await until(`the answer to a one-off for g${i}`, () => job.isCompleted());
  for (const i of names.keys()) {
    const jid = jidOf(i);
    const asked = pushed.filter((one) => one.i === i).length;
    expect(standIn.log.maxResetsInFlight(jid)).toBeLessThanOrEqual(1);
    expect(standIn.log.of({ endpoint: 'reset', jid }).length).toBeLessThanOrEqual(asked);
  }
});
