/** One run of one contender: real processes, a real Redis, the stand-in for RyzeAPI. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { type StandIn, startStandIn } from '../../dev/standin/standIn.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { type Child, startChild } from '../support/process.ts';
import { arrivalTimes, idealTimes, type Limit } from './arrivals.ts';

export const contenders = ['invite-rotator', 'BullMQ limiter', 'bottleneck', 'p-throttle'] as const;
export type Contender = (typeof contenders)[number];

export interface Contest {
  /** Calls in flight in one process. */
  readonly concurrency?: number;
  readonly contender: Contender;
  readonly limit: Limit;
  readonly processes: number;
}

export interface Outcome {
  readonly made: number;
  readonly refused: number;
  /** From the first arrival until the last call reaches the server. */
  readonly elapsedMs: number;
  readonly idealMs: number;
  readonly meanRoundTripMs: number;
  /** Denied acquisitions; null if the contender has none. */
  readonly denials: number | null;
}

export const token = 'token-of-the-benchmark';
/** Of the server's answers. */
const usualLatency = { minMs: 20, maxMs: 400 };
const calls = 450;
const trickling = 10;
/** Enough to have a whole window's calls in flight within one round trip. */
const plenty = 50;

export interface Stage {
  readonly folder: string;
  readonly redis: Redis;
  readonly redisPath: string;
  readonly standIn: StandIn;
  close(): Promise<void>;
}

export function jidOf(i: number): string {
  return `1203634062890${String(i).padStart(5, '0')}@g.us`;
}

export async function setStage(
  limit: Limit,
  groups: number,
  { latency = usualLatency, instances = ['bot'] } = {},
): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: embedded.path, maxRetriesPerRequest: null });
  const standIn = await startStandIn({
    instances,
    tokens: [{ token }],
    groups: Array.from({ length: groups }, (_, i) => ({ jid: jidOf(i) })),
    limit: { window: limit.window, perMs: limit.perMs, limit: limit.max },
    latency,
  });
  return {
    folder,
    redis,
    redisPath: resolve(embedded.path),
    standIn,
    async close() {
      redis.disconnect();
      await standIn.close();
      await embedded.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The program itself, with this file. Ready once it has started. */
export async function startProgram(
  { folder, redisPath }: Stage,
  yaml: string,
  env: Readonly<Record<string, string>> = {},
  onLine: (line: string) => void = () => {},
): Promise<Child> {
  const file = join(folder, 'rotation.yaml');
  writeFileSync(file, yaml);
  const cli = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
  return await startChild(
    [cli, 'start'],
    { TOKEN: token, REDIS_URL: `unix://${redisPath}`, ROTATOR_CONFIG: file, ...env },
    onLine,
    (line) => line.includes('"started"'),
  );
}

/** `onDenied` counts the slots that were not granted. */
export async function startRotator(
  stage: Stage,
  limit: Limit,
  groups: { readonly due: number; readonly resting: number },
  concurrency: number,
  onDenied: () => void = () => {},
): Promise<Child> {
  const entries = Array.from({ length: groups.due + groups.resting }, (_, i) => {
    const firstSeen = i < groups.due ? 'rotate' : 'wait';
    return `  - { id: g${i}, identifier: ${jidOf(i)}, firstSeen: ${firstSeen} }`;
  });
  const rateLimit = `max: ${limit.max}, per: ${limit.perMs}ms, reserve: ${limit.max / 10}`;
  return await startProgram(
    stage,
    `api: { baseUrl: "${stage.standIn.url}" }
instances: [{ name: bot, tokenEnv: TOKEN, concurrency: ${concurrency}, rateLimit: { ${rateLimit} } }]
defaults: { every: 30d }
groups:\n${entries.join('\n')}
verify: off\n`,
    { LOG_LEVEL: 'trace' },
    (line) => {
      if (line.includes('"budget.denied"')) onDenied();
    },
  );
}

export async function startContender(
  stage: Stage,
  { contender, limit, processes, concurrency = plenty }: Contest,
): Promise<Child> {
  const main = fileURLToPath(new URL('./contender.js', import.meta.url));
  const env = {
    KIND: contender,
    REDIS_PATH: stage.redisPath,
    API: stage.standIn.url,
    TOKEN: token,
    PROCESSES: String(processes),
    MAX: String(limit.max),
    PER_MS: String(limit.perMs),
    CONCURRENCY: String(concurrency),
  };
  return await startChild(
    [main],
    env,
    () => {},
    (line) => line === 'ready',
  );
}

/** Pushes every call at its time. */
async function push(queue: Queue, contender: Contender, arrivals: readonly number[]): Promise<void> {
  const jobs = arrivals.map((_, i) =>
    contender === 'invite-rotator'
      ? { name: 'rotate', data: { group: `g${i}` } }
      : { name: 'call', data: { jid: jidOf(i) }, opts: { attempts: 30, backoff: { type: 'custom' } } },
  );
  for (let from = 0; from < jobs.length; ) {
    const at = arrivals[from] ?? 0;
    const to = arrivals.lastIndexOf(at) + 1;
    await sleep(Math.max(at - Date.now(), 0));
    await queue.addBulk(jobs.slice(from, to));
    from = to;
  }
}

export async function run(contest: Contest): Promise<Outcome> {
  const { contender, limit, processes } = contest;
  const stage = await setStage(limit, calls);
  let denials = 0;
  const children = await Promise.all(
    Array.from({ length: processes }, () =>
      contender === 'invite-rotator'
        ? startRotator(stage, limit, { due: 0, resting: calls }, plenty, () => {
            denials += 1;
          })
        : startContender(stage, contest),
    ),
  );
  const queue = new Queue(contender === 'invite-rotator' ? 'rotations-bot' : 'calls', { connection: stage.redis });
  try {
    // A fixed window starts with the first call, as on servers that open one for each client's first request.
    const startMs = (Math.floor(Date.now() / limit.perMs) + 1) * limit.perMs + 5;
    const arrivals = arrivalTimes(calls, trickling, limit.perMs, startMs);
    await push(queue, contender, arrivals);
    const done = () => stage.standIn.log.of({ endpoint: 'reset', status: 200 });
    const patienceMs = limit.perMs * 20;
    while (done().length < calls) {
      if (Date.now() > startMs + patienceMs) throw new Error(`${contender} made ${done().length} of ${calls} calls`);
      await sleep(50);
    }
    const made = done();
    const ideal = idealTimes(arrivals, limit);
    return {
      made: made.length,
      refused: stage.standIn.log.of({ status: 429 }).length,
      elapsedMs: Math.max(...made.map(({ begin }) => begin)) - startMs,
      idealMs: (ideal.at(-1) ?? startMs) - startMs,
      meanRoundTripMs: made.reduce((sum, { begin, end }) => sum + (end ?? begin) - begin, 0) / made.length,
      denials: contender === 'invite-rotator' ? denials : null,
    };
  } finally {
    await queue.close();
    for (const child of children) await child.stop();
    await stage.close();
  }
}
