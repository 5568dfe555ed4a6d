/** The programs that ask for rotations, and the people who empty their queues from a dashboard. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { createRotationClient } from '../../src/index.ts';
import type { FileModel } from './file.ts';
import type { SeenRequestJob } from './history.ts';
import type { Random } from './random.ts';
import { instanceNames } from './settings.ts';

export interface OneOffs {
  /** Asks for rotations until told to stop. */
  produce(): Promise<void>;
  stop(): void;
  /** Drains or obliterates the queue of an instance that the file has; returns its name. */
  wipe(): Promise<string>;
  /** Has BullMQ number the jobs of each queue as never before. */
  number(): Promise<void>;
  /** How all of them stand. */
  jobs(): Promise<SeenRequestJob[]>;
  close(): Promise<void>;
}

interface Asked extends Pick<SeenRequestJob, 'requestId' | 'name' | 'queue' | 'askedAt'> {
  readonly jobId: string;
}

export interface OneOffsOptions {
  readonly redis: Redis;
  readonly random: Random;
  /** The file as it is now. */
  readonly file: () => FileModel;
}

export async function createOneOffs({ redis, random, file }: OneOffsOptions): Promise<OneOffs> {
  const client = createRotationClient({ connection: redis });
  const queues = new Map(instanceNames.map((name) => [`rotations-${name}`, open(`rotations-${name}`, redis)]));
  const asked: Asked[] = [];
  const ended = new Map<Asked, SeenRequestJob>();
  let producing = true;
  // BullMQ numbers the jobs of each queue from 1, and anew when one was obliterated, or Redis was emptied: here no number
  // comes twice, so that what became of each job can be asked for by its id.
  let numbered = 0;
  async function number(): Promise<void> {
    for (const name of queues.keys()) await redis.set(`bull:${name}:id`, ++numbered * 1_000_000);
  }
  await number();

  async function wipe(): Promise<string> {
    const name = `rotations-${random.pick(file().slots).name}`;
    const queue = queues.get(name) as Queue;
    await jobs();
    const obliterates = random() < 0.5;
    const empty = obliterates ? () => obliterate(name, queue) : () => queue.drain(random() < 0.5);
    // While Redis refuses writes it may be half emptied.
    await empty().catch(() => {});
    return name;
  }

  async function obliterate(name: string, queue: Queue): Promise<void> {
    const last = await redis.get(`bull:${name}:id`);
    await queue.obliterate({ force: true });
    await redis.set(`bull:${name}:id`, Number(last) + 1_000);
  }

  async function ask(requestId: string, name: string, queue: string): Promise<void> {
    const [seconds, micros] = await redis.time();
    const askedAt = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    const who = { requestId, requestedBy: 'storm' };
    if (random() < 0.2) return await askByOwnId(requestId, name, queue, askedAt);
    if (random() < 0.5) {
      const job = await queues.get(queue)?.add('rotate', { group: name, ...who });
      asked.push({ requestId, name, queue, askedAt, jobId: job?.id ?? '' });
      return;
    }
    // It refuses what no file has, and then nothing was accepted.
    const made = await client.request(name, who).catch(() => null);
    if (made === null) return;
    asked.push({ requestId, name: made.group, queue: `rotations-${made.instance}`, askedAt, jobId: made.jobId });
  }

  /** As a producer does that has few names for its jobs. BullMQ drops one whose id is taken; then nothing was asked. */
  async function askByOwnId(requestId: string, name: string, queue: string, askedAt: number): Promise<void> {
    const jobId = `own-${Math.floor(random() * 20)}`;
    const [opened, earlier] = [queues.get(queue), asked.findLast((one) => one.jobId === jobId && one.queue === queue)];
    if (earlier !== undefined && ended.has(earlier)) await (await opened?.getJob(jobId))?.remove().catch(() => {});
    await opened?.add('rotate', { group: name, requestId, requestedBy: null, reason: null }, { jobId });
    if ((await opened?.getJob(jobId))?.data.requestId !== requestId) return;
    asked.push({ requestId, name, queue, askedAt, jobId });
  }

  /** As somebody does at a dashboard: what failed is run again. */
  async function retry(): Promise<void> {
    const failed = [...ended].findLast(([, { state }]) => state === 'failed');
    if (failed === undefined) return;
    const job = await queues.get(failed[0].queue)?.getJob(failed[0].jobId);
    await job?.retry('failed').catch(() => {});
  }

  async function produce(): Promise<void> {
    const last = file().entries.at(-1)?.group ?? '';
    const isRegistered = () =>
      client.current(last).then(
        () => true,
        () => false,
      );
    while (producing && !(await isRegistered())) await sleep(50);
    for (let n = 0; producing; n++) {
      await sleep(random.between(50, 400));
      if (random() < 0.02) await retry();
      const { entries, slots } = file();
      // Also one that the file does not have at the time, now and then.
      const entry = random.pick(random() < 0.05 ? entries : entries.filter(({ present }) => present));
      // A burst for one group now and then, as when a leak is reported by many.
      const burst = random() < 0.1 ? 8 : 1;
      for (let i = 0; i < burst; i++) {
        const name = random() < 0.5 ? entry.group : entry.jid;
        // What Redis refuses was not accepted.
        await ask(`request-${n}-${i}`, name, `rotations-${slots[entry.slot].name}`).catch(() => {});
      }
    }
  }

  /** Those that have ended are not asked for again: a queue that is obliterated forgets them. */
  async function standOf(one: Asked): Promise<SeenRequestJob> {
    const known = ended.get(one);
    if (known !== undefined) return known;
    const { requestId, name, queue: queueName, askedAt, jobId } = one;
    const queue = queues.get(queueName);
    const found = await queue?.getJobState(jobId);
    const stored = (await queue?.getJob(jobId)) as Job | undefined;
    // Its id may have been used again since a queue was emptied.
    const job = stored?.data.requestId === requestId ? stored : undefined;
    const state = job === undefined ? 'unknown' : (found ?? 'unknown');
    const { failedReason = null, returnvalue: result = null, finishedOn: endedAt = null } = job ?? {};
    const seen = { requestId, name, queue: queueName, askedAt, endedAt, state, failedReason, result };
    if (state === 'completed' || state === 'failed') ended.set(one, seen);
    return seen;
  }

  const jobs = () => Promise.all(asked.map(standOf));

  return {
    produce,
    stop() {
      producing = false;
    },
    wipe,
    number,
    jobs,
    async close() {
      await client.close();
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}

function open(name: string, redis: Redis): Queue {
  const queue = new Queue(name, { connection: redis });
  queue.on('error', () => {});
  return queue;
}
