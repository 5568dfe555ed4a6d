/**
 * `npm run bench:idle -- --instances`: the memory and the processor time at rest of one process that serves 1,000
 * instances, and of one process with a bare BullMQ worker for each of as many queues.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { jidOf, type Stage, setStage, token } from '../budget/contest.ts';
import { cpuMs, residentMb } from '../support/measure.ts';
import { startChild } from '../support/process.ts';
import { markdownTable } from '../support/table.ts';

const instances = 1_000;
/** V8 has collected most garbage of the start by then. */
const settleMs = 20_000;
const restMs = 30_000;
const oneOffs = 50;

interface Costs {
  readonly connections: number;
  readonly residentMb: number;
  /** Shares of one core. */
  readonly cpu: number;
  readonly redisCpu: number;
  /** From the push of a job until it is taken off its queue, ms. */
  readonly takenMs: readonly number[];
}

function writeFile({ folder, standIn }: Stage): string {
  const file = join(folder, 'rotation.yaml');
  const names = Array.from({ length: instances }, (_, i) => `bot${i}`);
  writeFileSync(
    file,
    `api: { baseUrl: "${standIn.url}" }
instances:
${names.map((name) => `  - { name: ${name}, tokenEnv: TOKEN }`).join('\n')}
defaults: { every: 30d, firstSeen: wait, enabled: false }
groups:
${names.map((name, i) => `  - { id: g${i}, identifier: "${jidOf(i)}", instance: ${name} }`).join('\n')}
verify: off
ops: off
`,
  );
  return file;
}

/** How soon a job of one queue after another is taken. */
async function takeTimes(stage: Stage, queueOf: (i: number) => string): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < oneOffs; i++) {
    const queue = new Queue(queueOf(i * Math.floor(instances / oneOffs)), { connection: stage.redis });
    // Neither program calls the API for it: ours refuses a group that it does not know.
    const job = await queue.add('probe', { group: 'unknown' });
    const from = performance.now();
    while ((await stage.redis.hget(queue.toKey(job.id ?? ''), 'processedOn')) === null) await sleep(1);
    times.push(performance.now() - from);
    await queue.close();
  }
  return times.sort((a, b) => a - b);
}

async function measure(kind: 'bare' | 'ours'): Promise<Costs> {
  const stage = await setStage({ window: 'sliding', max: 100, perMs: 60_000 }, 0);
  try {
    const env = {
      TOKEN: token,
      REDIS_URL: `unix://${stage.redisPath}`,
      REDIS_PATH: stage.redisPath,
      API: stage.standIn.url,
      INSTANCES: String(instances),
      ROTATOR_CONFIG: writeFile(stage),
    };
    const main = kind === 'ours' ? '../../../dist/cli.js' : '../planner/bare.js';
    const args = [fileURLToPath(new URL(main, import.meta.url)), ...(kind === 'ours' ? ['start'] : [])];
    const isReady = (line: string) => /"started"|^ready/.test(line);
    const child = await startChild(args, env, () => {}, isReady);
    const info = async (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(await stage.redis.info())?.[1]);
    const redisMs = async () => ((await info('used_cpu_sys')) + (await info('used_cpu_user'))) * 1_000;
    await sleep(settleMs);
    const [own, redis, from] = [cpuMs(child.pid), await redisMs(), performance.now()];
    await sleep(restMs);
    const elapsed = performance.now() - from;
    const costs = {
      connections: (await info('connected_clients')) - 1,
      residentMb: residentMb(child.pid),
      cpu: (cpuMs(child.pid) - own) / elapsed,
      redisCpu: ((await redisMs()) - redis) / elapsed,
      takenMs: await takeTimes(stage, (i) => (kind === 'ours' ? `rotations-bot${i}` : `calls-bot${i}`)),
    };
    await child.stop();
    return costs;
  } finally {
    await stage.close();
  }
}

export async function measureInstances(): Promise<void> {
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const row = (name: string, costs: Costs) => [
    name,
    String(costs.connections),
    `${costs.residentMb.toFixed(0)} MB`,
    `${(costs.residentMb / instances).toFixed(2)} MB`,
    percent(costs.cpu),
    `${((costs.cpu * 100) / instances).toFixed(4)} %`,
    percent(costs.redisCpu),
    `${costs.takenMs[Math.floor(oneOffs / 2)]?.toFixed(0)} ms`,
    `${costs.takenMs.at(-1)?.toFixed(0)} ms`,
  ];
  const bare = row('bare workers', await measure('bare'));
  const ours = row('invite-rotator', await measure('ours'));
  const columns = ['connections', 'memory', 'each', 'CPU', 'each', 'CPU of Redis', 'taken after (median)', '(worst)'];
  console.log(markdownTable(['', ...columns], [bare, ours]));
}
