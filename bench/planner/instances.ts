/** 200 instances in one process: their cost when idle, and their speed compared with bare BullMQ workers. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { jidOf, setStage } from '../budget/contest.ts';
import { startChild } from '../support/process.ts';

export interface InstanceCosts {
  readonly what: string;
  readonly connections: number;
  /** Share of one core. */
  readonly idleCpu: number;
  readonly rssMb: number;
  readonly rotationsPerSecond: number;
}

export const instances = 200;
const rotationsEach = 20;
const rotations = instances * rotationsEach;
const restMs = 10_000;

export async function measureInstances(kind: 'invite-rotator' | 'bare workers'): Promise<InstanceCosts> {
  const names = Array.from({ length: instances }, (_, i) => `bot${i}`);
  const stage = await setStage({ window: 'sliding', max: 1_000_000, perMs: 60_000 }, 0);
  const token = 'token-of-the-benchmark';
  const standIn = await startStandIn({
    instances: names,
    tokens: [{ token }],
    groups: names.flatMap((_, i) => Array.from({ length: rotationsEach }, (__, n) => ({ jid: jidOf(i * 100 + n) }))),
    limit: { limit: 1_000_000 },
  });
  const file = join(stage.folder, 'rotation.yaml');
  writeFileSync(file, yaml(standIn.url, names));
  const ours = kind === 'invite-rotator';
  const main = fileURLToPath(new URL(ours ? '../../../dist/cli.js' : './bare.js', import.meta.url));
  const env = {
    TOKEN: token,
    REDIS_URL: `unix://${stage.redisPath}`,
    REDIS_PATH: stage.redisPath,
    API: standIn.url,
    INSTANCES: String(instances),
    ROTATOR_CONFIG: file,
  };
  const child = await startChild(
    ours ? [main, 'start'] : [main],
    env,
    () => {},
    (line) => /"started"|^ready/.test(line),
  );
  const queues = names.map(
    (name) => new Queue(ours ? `rotations-${name}` : `calls-${name}`, { connection: stage.redis }),
  );
  const results = new Queue('invite-links', { connection: stage.redis });
  const published = async (count: number) => {
    while ((await results.getWaitingCount()) < count) await sleep(20);
  };
  try {
    // Each group gets a first read.
    const adopted = ours ? rotations : 0;
    await published(adopted);
    await sleep(3_000);
    const before = cpuMs(child.pid);
    await sleep(restMs);
    const idleCpu = (cpuMs(child.pid) - before) / restMs;
    const connections =
      String(await stage.redis.client('LIST'))
        .trim()
        .split('\n').length - 1;
    const from = performance.now();
    await Promise.all(
      queues.map((queue, i) =>
        queue.addBulk(
          Array.from({ length: rotationsEach }, (_, n) =>
            ours
              ? { name: 'rotate', data: { group: `g${i * 100 + n}` } }
              : { name: 'call', data: { jid: jidOf(i * 100 + n) } },
          ),
        ),
      ),
    );
    await published(adopted + rotations);
    const seconds = (performance.now() - from) / 1_000;
    return {
      what: kind,
      connections,
      idleCpu,
      rssMb: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
      rotationsPerSecond: rotations / seconds,
    };
  } finally {
    await Promise.all([results, ...queues].map((queue) => queue.close()));
    await child.stop();
    await standIn.close();
    await stage.close();
  }
}

/** Processor time used by a process, ms. Linux counts it in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function yaml(url: string, names: readonly string[]): string {
  const limit = 'rateLimit: { max: 100000, per: 1m, reserve: 0 }';
  const groups = names.flatMap((name, i) =>
    Array.from(
      { length: rotationsEach },
      (_, n) => `  - { id: g${i * 100 + n}, identifier: "${jidOf(i * 100 + n)}", instance: ${name} }`,
    ),
  );
  return `api: { baseUrl: "${url}" }
instances:
${names.map((name) => `  - { name: ${name}, tokenEnv: TOKEN, ${limit} }`).join('\n')}
defaults: { every: 30d, firstSeen: wait }
groups:\n${groups.join('\n')}
verify: off\nops: off\n`;
}
