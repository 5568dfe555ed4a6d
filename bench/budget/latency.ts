/** How long a one-off waits for its request to reach the server while more scheduled work waits than the limit allows. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { jidOf, type Stage, setStage, startContender, startRotator } from './contest.ts';

export type LatencyContender = 'invite-rotator' | 'BullMQ limiter';
export const latencyContenders: readonly LatencyContender[] = ['invite-rotator', 'BullMQ limiter'];

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refused: number;
  /** Scheduled jobs that still waited at the end. */
  readonly waiting: number;
}

const oneOffs = 100;
/** The program's default. */
const concurrency = 5;
/** Enough for `minWaiting` to be left at the end. */
const backlog = 2_000;
const minWaiting = 500;

export async function measureLatency(contender: LatencyContender, perMs: number): Promise<Latency> {
  const limit = { window: 'sliding', max: 100, perMs } as const;
  const stage = await setStage(limit, backlog + oneOffs);
  const ours = contender === 'invite-rotator';
  const queue = new Queue(ours ? 'rotations-bot' : 'calls', { connection: stage.redis });
  if (!ours) await pushBacklog(queue);
  const child = ours
    ? await startRotator(stage, limit, { due: backlog, resting: oneOffs }, concurrency)
    : await startContender(stage, { contender, limit, processes: 1, concurrency });
  try {
    const resets = () => stage.standIn.log.of({ endpoint: 'reset' }).length;
    while (resets() < limit.max * 0.9) await sleep(20);

    const pushedAt: number[] = [];
    for (let i = 0; i < oneOffs; i++) {
      // Eight in a window, within the reserve of ten. Never twice at the same moment of a window.
      await sleep((perMs / 8) * (0.8 + 0.4 * Math.random()));
      pushedAt.push(Date.now());
      const id = backlog + i;
      if (ours) await queue.add('rotate', { group: `g${id}`, reason: 'leaked' });
      else await queue.add('call', { jid: jidOf(id) }, { attempts: 30, backoff: { type: 'custom' } });
    }
    const reached = await reachedAt(stage, perMs);
    const waits = pushedAt.map((at, i) => (reached[i] ?? Number.POSITIVE_INFINITY) - at).sort((a, b) => a - b);
    const waiting = backlog + oneOffs - stage.standIn.log.of({ endpoint: 'reset', status: 200 }).length;
    if (waiting < minWaiting) throw new Error(`only ${waiting} scheduled calls were left: not saturated to the end`);
    return {
      p50Ms: waits[Math.floor(oneOffs * 0.5)] ?? 0,
      p99Ms: waits[Math.floor(oneOffs * 0.99)] ?? 0,
      refused: stage.standIn.log.of({ status: 429 }).length,
      waiting,
    };
  } finally {
    await queue.close();
    await child.stop();
    await stage.close();
  }
}

/** BullMQ serves jobs without a priority first, as in this program. */
async function pushBacklog(queue: Queue): Promise<void> {
  const opts = { priority: 10, attempts: 30, backoff: { type: 'custom' } };
  await queue.addBulk(Array.from({ length: backlog }, (_, i) => ({ name: 'call', data: { jid: jidOf(i) }, opts })));
}

/** When each one-off's first request reached the server. */
async function reachedAt({ standIn }: Stage, perMs: number): Promise<number[]> {
  const deadline = Date.now() + 2 * perMs;
  for (;;) {
    const first = new Map<string | null, number>();
    for (const { jid, begin } of standIn.log.of({ endpoint: 'reset' })) if (!first.has(jid)) first.set(jid, begin);
    const reached = Array.from({ length: oneOffs }, (_, i) => first.get(jidOf(backlog + i)));
    if (reached.every((at) => at !== undefined)) return reached;
    if (Date.now() > deadline) return reached.map((at) => at ?? Number.POSITIVE_INFINITY);
    await sleep(50);
  }
}
