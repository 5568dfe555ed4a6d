/** One storm from its beginning to the quiet after it, and its history. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { createRotationClient } from '../../src/index.ts';
import { findServer } from '../../src/redis/findServer.ts';
import { type StandIn, startStandIn } from '../../src/standin/standIn.ts';
import { createFaultProxy } from '../../test/support/faultProxy.ts';
import { freePort, startRedisServer } from '../../test/support/redisServer.ts';
import { check, type Finding } from './checker.ts';
import { startFleet } from './fleet.ts';
import type { History, SeenEvent, SeenRequestJob } from './history.ts';
import { readPages } from './pages.ts';
import { createRandom, type Random } from './random.ts';
import { type Counts, rage } from './weather.ts';

export interface StormOptions {
  readonly cli: string;
  readonly seed: number;
  readonly forMs: number;
  /** Breaks off at the first violation: for programs that are broken on purpose. */
  readonly untilViolation: boolean;
}

export interface Storm {
  readonly findings: readonly Finding[];
  readonly counts: Counts;
  readonly calls: number;
  readonly faults: number;
  readonly resets: number;
  readonly rotations: number;
  readonly recoveries: number;
  readonly drifts: number;
  readonly failures: number;
  readonly repeats: number;
  readonly oneOffs: number;
  readonly pages: number;
  /** From the last trouble until every promise held; null: never. */
  readonly settledAfterMs: number | null;
}

const size = { workers: 3, groups: 200 };
const queues = ['links-site', 'links-codes', 'links-onboarding'];
const token = 'token-of-the-storm-0123456789';
const settleMs = 3_000;
const timeoutMs = 1_000;
const limit = { max: 100, perMs: 2_000 };
/** Beyond what the settle time and one verification explain. */
const patienceMs = 15_000;
const verifyMs = 10_000;
/** No human does anything in the last part: what they change is found by the next verification. */
const jids = Array.from({ length: size.groups }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);
const idOf = (i: number) => `g${i}`;

export async function storm({ cli, seed, forMs, untilViolation }: StormOptions): Promise<Storm> {
  const random = createRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-storm-'));
  const binary = await findServer({ env: process.env, say: (line) => console.error(line) });
  const port = await freePort();
  const startRedis = () => startRedisServer({ binary, folder, port, appendOnly: true });
  let server = await startRedis();
  const proxy = await createFaultProxy(port);
  const proxies = await Promise.all(Array.from({ length: size.workers }, () => createFaultProxy(proxy.port)));
  const standIn = await startStandIn({
    instances: ['bot'],
    tokens: [{ token }],
    groups: jids.map((jid) => ({ jid })),
    limit: { window: random.pick(['sliding', 'fixed']), perMs: limit.perMs, limit: limit.max },
    countAt: random.pick(['arrival', 'answer']),
    latency: { minMs: 5, maxMs: 80 },
    random,
  });
  const file = join(folder, 'rotation.yaml');
  const write = (every: string) => writeFileSync(file, yaml(standIn.url, every));
  write('20s');

  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  const rotations = new Queue('rotations-bot', { connection: redis });
  rotations.on('error', () => {});
  const events = Object.fromEntries(queues.map((queue) => [queue, [] as SeenEvent[]]));
  const added = Object.fromEntries(queues.map((queue) => [queue, [] as string[]]));
  const consumers = queues.flatMap((queue) => [
    watch(queue, port, added[queue] ?? []),
    consume(queue, port, events[queue] ?? []),
  ]);
  await Promise.all(consumers.map((consumer) => consumer.waitUntilReady()));
  const fleet = startFleet({
    cli,
    size: size.workers,
    envOf: (index) => ({
      REDIS_URL: `redis://127.0.0.1:${proxies[index]?.port}`,
      TOKEN: token,
      ROTATOR_CONFIG: file,
      LOG_LEVEL: 'debug',
    }),
  });
  const pages = readPages(fleet);
  const counts: Counts = {
    kills: 0,
    freezes: 0,
    partitions: 0,
    restarts: 0,
    redisCuts: 0,
    redisRestarts: 0,
    humans: 0,
  };
  const asked: Asked[] = [];
  const endOf = endsOf(rotations);
  let producing = true;
  let over = false;
  let producer: Promise<void> = Promise.resolve();

  /** `output` takes seconds to search, in which nothing else happens: it is left out while workers run. */
  const history = async (quiet: boolean, { withOutput = false } = {}): Promise<History> => ({
    requests: standIn.log.all,
    events,
    added,
    jobs: await Promise.all(asked.map(endOf)),
    links: linksOf(standIn),
    groups: Object.fromEntries(jids.map((jid, i) => [jid, idOf(i)])),
    limit,
    settleMs,
    output: withOutput ? [...fleet.output, ...pages.texts].join('') : '',
    secrets: [token, ...jids.flatMap((jid) => standIn.group(jid).history.map(({ code }) => code))],
    quiet,
  });

  try {
    producer = produce(rotations, redis, random, asked, () => producing);
    const raging = rage(
      {
        random,
        standIn,
        fleet,
        proxy,
        proxies,
        jids,
        counts,
        latestEffectMs: settleMs - 500,
        isOver: () => over,
        async restartRedis() {
          await server.stop();
          await sleep(random.between(200, 2_000));
          if (over) return;
          server = await startRedis();
        },
      },
      forMs,
    );
    if (untilViolation) {
      const ended = raging.then(() => true);
      while (!(await Promise.race([ended, sleep(2_000, false)]))) {
        const findings = check(await history(false));
        if (findings.length > 0) return summary(await history(false), findings, counts, pages.texts.length, null);
      }
    }
    await raging;
    producing = false;
    await producer;
    const calmAt = Date.now();
    write('30d');
    const explainedMs = settleMs + timeoutMs + verifyMs;
    let settledAfterMs: number | null = null;
    // Twice in a row, so that nothing was under way any more.
    for (let good = 0; good < 2 && Date.now() - calmAt < explainedMs + patienceMs + 2_000; ) {
      const findings = check(await history(true));
      good = findings.length === 0 ? good + 1 : 0;
      if (good === 1) settledAfterMs = Date.now() - calmAt;
      await sleep(500);
    }
    await pages.stop();
    const badEnds = await fleet.stop();
    const last = await history(true, { withOutput: true });
    const findings = check(last);
    if (badEnds.length > 0) findings.push({ promise: 'stopped: a worker told to end ends with 0', found: badEnds });
    if (pages.texts.length === 0) findings.push({ promise: 'silent: pages were read', found: ['none'] });
    if (settledAfterMs === null || settledAfterMs > explainedMs + patienceMs) {
      findings.push({ promise: 'settled in time', found: [`after ${settledAfterMs} ms`] });
    }
    if (findings.length > 0) keep(last, seed, await unseen(last, port));
    return summary(last, findings, counts, pages.texts.length, settledAfterMs);
  } finally {
    producing = false;
    over = true;
    await pages.stop();
    fleet.destroy();
    await producer.catch(() => {});
    await Promise.all(
      consumers.map((consumer) => (consumer instanceof Worker ? consumer.close(true) : consumer.close())),
    );
    await rotations.close();
    redis.disconnect();
    await Promise.all([...proxies, proxy].map((each) => each.close()));
    await standIn.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the events lie that were published and did not reach their consumer. */
async function unseen({ events, added }: History, port: number): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const name of queues) {
    const seen = new Set(events[name]?.map(({ id }) => id));
    const queue = new Queue(name, { connection: { port } });
    for (const id of (added[name] ?? []).filter((one) => !seen.has(one))) {
      const job = await queue.getJob(id);
      found[`${name} ${id}`] = [await queue.getJobState(id), job?.failedReason, job?.stalledCounter];
    }
    await queue.close();
  }
  return found;
}

/** For whoever looks into what happened. */
function keep(history: History, seed: number, lost: Record<string, unknown>): void {
  const folder = mkdtempSync(join(tmpdir(), `invite-rotator-storm-${seed}-`));
  writeFileSync(join(folder, 'unseen.json'), JSON.stringify(lost, null, 2));
  writeFileSync(join(folder, 'workers.log'), history.output);
  writeFileSync(join(folder, 'history.json'), JSON.stringify({ ...history, output: undefined, secrets: undefined }));
  console.log(`the history is kept in ${folder}`);
}

function yaml(url: string, every: string): string {
  const groups = jids.map((jid, i) => `  - { id: ${idOf(i)}, identifier: "${jid}" }`);
  return `api: { baseUrl: "${url}", timeout: ${timeoutMs}ms, settleTime: ${settleMs}ms }
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: ${limit.max}, per: ${limit.perMs}ms, reserve: 10 } }]
defaults: { every: ${every}, firstSeen: rotate }
retry: { attempts: 6, baseDelay: 100ms, maxDelay: 2s }
verify: { every: ${verifyMs}ms }
results: { queues: [${queues.join(', ')}] }
ops: { port: 0 }
groups:\n${groups.join('\n')}\n`;
}

function consume(queue: string, port: number, into: SeenEvent[]): Worker {
  const worker = new Worker<SeenEvent>(
    queue,
    // biome-ignore lint/suspicious/useAwait: BullMQ wants a promise.
    async (job) => {
      into.push(job.data);
    },
    // As docs/messages.md advises: a Redis that is restarted makes jobs stall.
    { connection: { port, maxRetriesPerRequest: null }, maxStalledCount: 1_000_000, runRetryDelay: 1_000 },
  );
  worker.on('error', () => {});
  return worker;
}

function watch(queue: string, port: number, into: string[]): QueueEvents {
  const listener = new QueueEvents(queue, {
    connection: { port, maxRetriesPerRequest: null },
    lastEventId: '0',
  });
  listener.on('added', ({ jobId }) => into.push(jobId));
  listener.on('error', () => {});
  return listener;
}

interface Asked {
  readonly requestId: string;
  readonly jid: string;
  readonly askedAt: number;
  readonly jobId: string;
}

/** Half of them by the library, which stamps them with Redis's clock; half as any producer does it. */
async function produce(queue: Queue, redis: Redis, random: Random, asked: Asked[], more: () => boolean): Promise<void> {
  const client = createRotationClient({ connection: redis });
  const isRegistered = (group: string) =>
    client.current(group).then(
      () => true,
      () => false,
    );
  while (more() && !(await isRegistered(idOf(size.groups - 1)))) await sleep(50);
  for (let n = 0; more(); n++) {
    await sleep(random.between(50, 400));
    // A burst for one group now and then, as when a leak is reported by many.
    const index = Math.floor(random() * size.groups);
    const burst = random() < 0.1 ? 8 : 1;
    for (let i = 0; i < burst; i++) {
      const requestId = `request-${n}-${i}`;
      const [seconds, micros] = await redis.time();
      const askedAt = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
      const who = { requestId, requestedBy: 'storm' };
      const group = random() < 0.5 ? idOf(index) : (jids[index] ?? '');
      const jobId =
        random() < 0.5
          ? (await client.request(group, who)).jobId
          : ((await queue.add('rotate', { group, ...who })).id ?? '');
      asked.push({ requestId, jid: jids[index] ?? '', askedAt, jobId });
    }
  }
  await client.close();
}

/** Asks how a one-off stands, until it has ended. */
function endsOf(queue: Queue): (one: Asked) => Promise<SeenRequestJob> {
  const ended = new Map<string, SeenRequestJob>();
  return async ({ requestId, jid, askedAt, jobId }) => {
    const known = ended.get(jobId);
    if (known !== undefined) return known;
    const state = await queue.getJobState(jobId);
    const job = (await queue.getJob(jobId)) as Job | undefined;
    const { failedReason = null, returnvalue: result = null } = job ?? {};
    const seen = { requestId, jid, askedAt, state, failedReason, result };
    if (state === 'completed' || state === 'failed') ended.set(jobId, seen);
    return seen;
  };
}

function linksOf(standIn: StandIn): History['links'] {
  const ours = new Set(standIn.log.all.flatMap(({ effect }) => effect?.code ?? []));
  return Object.fromEntries(
    jids.map((jid) => [
      jid,
      standIn.group(jid).history.map(({ code, from }, i) => ({
        code,
        from,
        by: ours.has(code) ? ('us' as const) : i === 0 ? ('start' as const) : ('human' as const),
      })),
    ]),
  );
}

function summary(
  { requests, events, jobs }: History,
  findings: readonly Finding[],
  counts: Counts,
  pages: number,
  settledAfterMs: number | null,
): Storm {
  const all = Object.values(events);
  const first = all[0] ?? [];
  const of = (test: (event: SeenEvent) => boolean) => new Set(first.filter(test).map(({ id }) => id)).size;
  return {
    findings,
    counts,
    calls: requests.length,
    faults: requests.filter(({ fault }) => fault !== null).length,
    resets: requests.filter(({ endpoint }) => endpoint === 'reset').length,
    rotations: of(({ type }) => type === 'link.rotated'),
    recoveries: of(({ reason, type }) => type === 'link.rotated' && reason === 'recovery'),
    drifts: of(({ type }) => type === 'link.changed'),
    failures: of(({ type }) => type === 'rotation.failed'),
    repeats: all.reduce((sum, seen) => sum + seen.length - new Set(seen.map(({ id }) => id)).size, 0),
    oneOffs: jobs.length,
    pages,
    settledAfterMs,
  };
}
