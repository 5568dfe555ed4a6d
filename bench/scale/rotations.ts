/** What a rotation costs Redis: a real worker rotates as fast as it can, with a limit that it never reaches. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { consumeLinks } from '../../src/client/consumer.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { jidOf, type Stage, setStage, startProgram } from '../budget/contest.ts';
import { inBatches } from './groups.ts';
import { memoryByKind } from './memory.ts';

export interface RotationCost {
  readonly what: string;
  readonly perSecond: number;
  /** Of one core, used by Redis meanwhile. */
  readonly redisCpu: number;
  /** Each for one rotation. */
  readonly commands: number;
  readonly scripts: number;
  readonly redisMs: number;
  readonly kilobytes: number;
}

/** A tick releases at most 200 rotations of one instance. */
const instances = Array.from({ length: 20 }, (_, i) => `bot${i}`);
const groupsEach = 150;
const groups = instances.length * groupsEach;
const limit = { window: 'sliding', max: 100_000, perMs: 60_000 } as const;
const concurrency = 5;
const restMs = 5_000;

interface Usage {
  readonly at: number;
  readonly cpuMs: number;
  readonly commands: number;
  readonly scripts: number;
  readonly bytes: number;
}

/** What stays in Redis after all these rotations. */
export interface Kept {
  /** Of a finished event on the results queue. */
  readonly eventBytes: number;
  /** Of a finished one-off. */
  readonly oneOffBytes: number;
  /** Of what a consumer has received of a group. */
  readonly handledBytes: number;
}

export async function measureRotations(): Promise<{ readonly costs: readonly RotationCost[]; readonly kept: Kept }> {
  const stage = await setStage(limit, groups, { latency: { minMs: 0, maxMs: 0 }, instances });
  const worker = await startProgram(stage, yaml(stage.standIn.url));
  const queues = instances.map((name) => new Queue(`rotations-${name}`, { connection: stage.redis }));
  let received = 0;
  const consumer = consumeLinks({
    connection: { path: stage.redisPath, maxRetriesPerRequest: null },
    handler: () => {
      received += 1;
    },
  });
  /** Resolves once that many links have been delivered since the last call. */
  const delivered = async (count: number) => {
    while (received < count) await sleep(5);
    received = 0;
  };
  try {
    const started = await usage(stage.redis);
    await delivered(groups);
    const reads = difference(started, await usage(stage.redis));
    await sleep(1_000);
    const resting = await usage(stage.redis);
    await sleep(restMs);
    const idle = difference(resting, await usage(stage.redis));
    const measure = async (what: string, start: () => Promise<void>): Promise<RotationCost> => {
      const before = await usage(stage.redis);
      await start();
      await delivered(groups);
      return costOf(what, difference(before, await usage(stage.redis)), idle);
    };
    const oneOffs = await measure('one-offs', () => push(queues));
    const scheduled = await measure('scheduled rotations', () => makeDue(stage));
    return { costs: [costOf('first reads', reads, idle), oneOffs, scheduled], kept: await readKept(stage) };
  } finally {
    await consumer.close();
    await Promise.all(queues.map((queue) => queue.close()));
    await worker.stop();
    await stage.close();
  }
}

async function push(queues: readonly Queue[]): Promise<void> {
  await Promise.all(
    queues.map((queue, i) =>
      queue.addBulk(
        Array.from({ length: groupsEach }, (_, n) => ({
          name: 'rotate',
          data: { group: `g${n * instances.length + i}` },
        })),
      ),
    ),
  );
}

async function readKept({ redis }: Stage): Promise<Kept> {
  const kinds = await memoryByKind(redis, 'bull');
  const bytesOf = (wanted: string) =>
    kinds.filter(({ kind }) => kind.startsWith(wanted)).reduce((sum, { bytes }) => sum + bytes, 0);
  // The first reads, the one-offs and the scheduled rotations.
  const events = 3 * groups;
  return {
    eventBytes: bytesOf('queue invite-links') / events,
    oneOffBytes: bytesOf('queue rotations-bot') / groups,
    handledBytes: bytesOf('marks') / groups,
  };
}

async function makeDue({ redis }: Stage): Promise<void> {
  const store = createGroupStore(createDatabase(redis, 'bull'));
  await inBatches(groups, (group) =>
    store.update(jidOf(group), (record, nowMs) => ({ record: { ...record, dueAt: nowMs }, result: undefined })),
  );
}

async function usage(redis: Redis): Promise<Usage> {
  const [cpu, stats, scripts] = await Promise.all([redis.info('cpu'), redis.info('stats'), redis.info('commandstats')]);
  const field = (info: string, name: RegExp) => Number(name.exec(info)?.[1] ?? 0);
  return {
    at: performance.now(),
    cpuMs: 1_000 * (field(cpu, /used_cpu_user:([\d.]+)/) + field(cpu, /used_cpu_sys:([\d.]+)/)),
    commands: field(stats, /total_commands_processed:(\d+)/),
    scripts: field(scripts, /cmdstat_evalsha:calls=(\d+)/),
    bytes: field(stats, /total_net_input_bytes:(\d+)/) + field(stats, /total_net_output_bytes:(\d+)/),
  };
}

function difference(from: Usage, to: Usage): Usage {
  return {
    at: to.at - from.at,
    cpuMs: to.cpuMs - from.cpuMs,
    commands: to.commands - from.commands,
    scripts: to.scripts - from.scripts,
    bytes: to.bytes - from.bytes,
  };
}

/** Without what the worker and the consumer do at rest. */
function costOf(what: string, run: Usage, idle: Usage): RotationCost {
  const share = run.at / idle.at;
  const each = (used: number, atRest: number) => (used - atRest * share) / groups;
  return {
    what,
    perSecond: (groups / run.at) * 1_000,
    redisCpu: run.cpuMs / run.at,
    commands: each(run.commands, idle.commands),
    scripts: each(run.scripts, idle.scripts),
    redisMs: each(run.cpuMs, idle.cpuMs),
    kilobytes: each(run.bytes, idle.bytes) / 1_000,
  };
}

function yaml(url: string): string {
  const rateLimit = `{ max: ${limit.max}, per: ${limit.perMs}ms, reserve: 10 }`;
  const rows = instances.map(
    (name) => `  - { name: ${name}, tokenEnv: TOKEN, concurrency: ${concurrency}, rateLimit: ${rateLimit} }`,
  );
  const entries = Array.from(
    { length: groups },
    (_, i) => `  - { id: g${i}, identifier: ${jidOf(i)}, instance: ${instances[i % instances.length]} }`,
  );
  return `api: { baseUrl: "${url}" }
instances:\n${rows.join('\n')}
defaults: { every: 7d, firstSeen: wait }
verify: off
ops: off
groups:\n${entries.join('\n')}\n`;
}
