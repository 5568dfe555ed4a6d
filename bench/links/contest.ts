/** One contender in one run: a real worker process, a real consumer, a real Redis and the stand-in for RyzeAPI. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Job, Queue, Worker } from 'bullmq';
import { consumeLinks } from '../../src/client/consumer.ts';
import { jidOf, type Stage, setStage, startProgram, token } from '../budget/contest.ts';
import { type Child, startChild } from '../support/process.ts';
import { causeOf, type DeadSpan, deadSpans } from './deadTime.ts';
import { type Cause, type Plan, type Step, settleTimeMs, timeoutMs } from './plan.ts';

export const contenders = ['a plain worker', 'invite-rotator'] as const;
export type Contender = (typeof contenders)[number];

/** One hour of production is this long for the rate limit and the verification. */
export const hourMs = 30_000;
const limit = { window: 'sliding', max: 100, perMs: hourMs / 60 } as const;
const concurrency = 20;
/** A supervisor starts a killed worker again after this time. */
const restartMs = 500;

export interface Outcome {
  readonly spans: Readonly<Record<Cause, readonly DeadSpan[]>>;
  readonly resets: number;
  readonly reads: number;
  readonly refused: number;
  readonly received: number;
}

export interface Run {
  /** Makes everything happen that is planned, then waits. Times count from `startMs`. */
  perform(startMs: number, endMs: number): Promise<Outcome>;
  close(): Promise<void>;
}

interface Held {
  readonly code: string;
  readonly at: number;
}

export async function prepare(contender: Contender, plan: Plan): Promise<Run> {
  const stage = await setStage(limit, plan.groups);
  const ours = contender === 'invite-rotator';
  const queue = new Queue(ours ? 'rotations-bot' : 'calls', { connection: stage.redis });
  const jids = Array.from({ length: plan.groups }, (_, i) => jidOf(i));
  const held = new Map<string, Held[]>(jids.map((jid) => [jid, []]));
  const receive = (jid: string, code: string) => held.get(jid)?.push({ code, at: Date.now() });
  const stopConsumer = await startConsumer(stage, ours, receive);
  const start = ours ? rotatorOn(stage, plan.groups) : plainOn(stage);
  let worker = await start();
  // Without a first read, the consumer of the plain worker knows the links from elsewhere.
  if (!ours) for (const jid of jids) receive(jid, stage.standIn.codeOf(jid));
  while ([...held.values()].some((links) => links.length === 0)) await sleep(50);

  const kills: number[] = [];
  const push = async (groups: readonly number[]) => {
    const options = ours ? {} : { attempts: 6, backoff: { type: 'exponential', delay: 2_000 }, removeOnComplete: true };
    for (const group of groups) {
      const data = ours ? { group: `g${group}` } : { jid: jidOf(group) };
      await queue.add('rotate', data, options);
    }
  };
  const kill = async () => {
    kills.push(Date.now());
    await worker.kill();
    await sleep(restartMs);
    worker = await start();
  };
  const act = async ({ cause, groups, fault }: Step) => {
    if (cause === 'byHand') {
      for (const group of groups) stage.standIn.resetByHand(jidOf(group));
      return;
    }
    for (const group of groups) {
      if (fault !== null) stage.standIn.faults.next(fault, { endpoint: 'reset', jid: jidOf(group) });
    }
    await push(groups);
    if (cause !== 'crash') return;
    await resetOf(stage, groups);
    await kill();
  };

  return {
    async perform(startMs, endMs) {
      await Promise.all(
        plan.steps.map(async (step) => {
          await sleep(Math.max(startMs + step.atMs - Date.now(), 0));
          await act(step);
        }),
      );
      await sleep(Math.max(endMs - Date.now(), 0));
      return observe(stage, plan, { held, kills, endMs: Date.now(), startMs });
    },
    async close() {
      await stopConsumer();
      await queue.close();
      await worker.stop();
      await stage.close();
    },
  };
}

/** Resolves once the server has replaced the links of all these groups, or after two seconds. */
async function resetOf({ standIn }: Stage, groups: readonly number[]): Promise<void> {
  const deadline = Date.now() + 2_000;
  const isReset = (group: number) => standIn.group(jidOf(group)).history.length > 1;
  while (!groups.every(isReset) && Date.now() < deadline) await sleep(2);
}

async function startConsumer(
  { redisPath }: Stage,
  ours: boolean,
  receive: (jid: string, code: string) => void,
): Promise<() => Promise<void>> {
  const connection = { path: redisPath, maxRetriesPerRequest: null };
  if (ours) {
    const consumer = consumeLinks({ connection, handler: ({ jid, inviteCode }) => receive(jid, inviteCode) });
    await consumer.ready();
    return () => consumer.close();
  }
  const worker = new Worker(
    'links',
    (job: Job<{ jid: string; inviteCode: string }>) => Promise.resolve(receive(job.data.jid, job.data.inviteCode)),
    { connection, concurrency: 10 },
  );
  await worker.waitUntilReady();
  return () => worker.close();
}

type Start = () => Promise<Child>;

function plainOn({ redisPath, standIn }: Stage): Start {
  const env = {
    REDIS_PATH: redisPath,
    API: standIn.url,
    TOKEN: token,
    MAX: String(limit.max),
    PER_MS: String(limit.perMs),
    TIMEOUT_MS: String(timeoutMs),
    CONCURRENCY: String(concurrency),
  };
  const main = fileURLToPath(new URL('./plain.js', import.meta.url));
  return () =>
    startChild(
      [main],
      env,
      () => {},
      (line) => line === 'ready',
    );
}

function rotatorOn(stage: Stage, groups: number): Start {
  const entries = Array.from({ length: groups }, (_, i) => `  - { id: g${i}, identifier: ${jidOf(i)} }`);
  const rateLimit = `max: ${limit.max}, per: ${limit.perMs}ms, reserve: ${limit.max / 10}`;
  const yaml = `api: { baseUrl: "${stage.standIn.url}", timeout: ${timeoutMs}ms, settleTime: ${settleTimeMs}ms }
instances: [{ name: bot, tokenEnv: TOKEN, concurrency: ${concurrency}, rateLimit: { ${rateLimit} } }]
defaults: { every: 30d, firstSeen: wait }
verify: { every: ${hourMs}ms }
ops: off
groups:\n${entries.join('\n')}\n`;
  return () => startProgram(stage, yaml);
}

interface Observed {
  readonly held: ReadonlyMap<string, readonly Held[]>;
  readonly kills: readonly number[];
  readonly startMs: number;
  readonly endMs: number;
}

function observe({ standIn }: Stage, plan: Plan, { held, kills, startMs, endMs }: Observed): Outcome {
  const spans: Record<Cause, DeadSpan[]> = { rotation: [], crash: [], dropped: [], timedOut: [], late: [], byHand: [] };
  const requests = standIn.log.all.filter(({ begin }) => begin >= startMs);
  const sentAt = new Map(requests.map(({ effect, begin }) => [effect?.code, begin]));
  for (const { cause, groups } of plan.steps) {
    for (const jid of groups.map(jidOf)) {
      for (const span of deadSpans(standIn.group(jid).history, held.get(jid) ?? [], endMs)) {
        const sent = sentAt.get(span.code) ?? span.from;
        spans[causeOf(cause, span, { sentAt: sent, kills, timeoutMs })].push(span);
      }
    }
  }
  const count = (test: (request: (typeof requests)[number]) => boolean) => requests.filter(test).length;
  return {
    spans,
    resets: count(({ endpoint }) => endpoint === 'reset'),
    reads: count(({ endpoint }) => endpoint === 'info'),
    refused: count(({ status }) => status === 429),
    received: [...held.values()].flat().filter(({ at }) => at >= startMs).length,
  };
}
