/** The producers of one-offs, and the people who empty or retry queues from a dashboard. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { createRotationClient } from '../../src/index.ts';
import type { FileModel } from './file.ts';
import type { SeenRequestJob } from './history.ts';
import type { Random } from './random.ts';
import { instanceNames } from './settings.ts';

export interface OneOffs {
  /** Pushes one-offs until `stop` is called. */
  produce(): Promise<void>;
  stop(): void;
  /** Pushes one for each group at once. */
  crowd(): Promise<void>;
  /** Drains or obliterates the queue of an instance in the file and returns the name of the queue. */
  wipe(): Promise<string>;
  /** Moves BullMQ's id counter of each queue to a range that was never used. */
  skipJobIds(): Promise<void>;
  /** The current state of every one-off. */
  jobs(): Promise<SeenRequestJob[]>;
  close(): Promise<void>;
}

interface Pushed extends Pick<SeenRequestJob, 'requestId' | 'name' | 'code' | 'queue' | 'requestedAt'> {
  readonly jobId: string;
}

export interface OneOffsOptions {
  readonly redis: Redis;
  readonly random: Random;
  /** The current content of the file. */
  readonly file: () => FileModel;
  /** The live code of a group. */
  readonly codeOf: (jid: string) => string;
}

export async function createOneOffs({ redis, random, file, codeOf }: OneOffsOptions): Promise<OneOffs> {
  const client = createRotationClient({ connection: redis });
  const queues = new Map(instanceNames.map((name) => [`rotations-${name}`, open(`rotations-${name}`, redis)]));
  const pushed: Pushed[] = [];
  const ended = new Map<Pushed, Omit<SeenRequestJob, 'retries'>>();
  const retries = new Map<Pushed, number>();
  let producing = true;
  // BullMQ counts the job ids of a queue from 1 again after the queue was obliterated or Redis was emptied. The storm looks
  // up jobs by their ids, so it moves the counter to avoid repeats.
  let ranges = 0;
  async function skipJobIds(): Promise<void> {
    for (const name of queues.keys()) await redis.set(`bull:${name}:id`, ++ranges * 1_000_000);
  }
  await skipJobIds();

  async function wipe(): Promise<string> {
    const name = `rotations-${random.pick(file().slots).name}`;
    const queue = queues.get(name) as Queue;
    await jobs();
    const obliterates = random() < 0.5;
    const empty = obliterates ? () => obliterate(name, queue) : () => queue.drain(random() < 0.5);
    // While Redis refuses writes, the queue may be emptied only partly.
    await empty().catch(() => {});
    return name;
  }

  async function obliterate(name: string, queue: Queue): Promise<void> {
    const last = await redis.get(`bull:${name}:id`);
    await queue.obliterate({ force: true });
    await redis.set(`bull:${name}:id`, Number(last) + 1_000);
  }

  /** Names the group by the link that it has now, as a person who found it would. */
  async function pushLink(requestId: string, jid: string, queue: string): Promise<void> {
    const code = codeOf(jid);
    await pushPlain({ requestId, name: jid, code, queue }, `https://chat.whatsapp.com/${code}`);
  }

  async function pushPlain(
    one: Pick<Pushed, 'requestId' | 'name' | 'code' | 'queue'>,
    group: string = one.name,
  ): Promise<void> {
    const requestedAt = await now();
    const data = { group, requestId: one.requestId, requestedBy: 'storm' };
    const job = await queues.get(one.queue)?.add('rotate', data);
    pushed.push({ ...one, requestedAt, jobId: job?.id ?? '' });
  }

  async function now(): Promise<number> {
    const [seconds, micros] = await redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }

  async function push(requestId: string, name: string, queue: string): Promise<void> {
    const requestedAt = await now();
    if (random() < 0.2) return await pushWithOwnId(requestId, name, queue, requestedAt);
    if (random() < 0.5) return await pushPlain({ requestId, name, queue });
    // The client refuses a group that no file has. Then no one-off was accepted.
    const made = await client.request(name, { requestId, requestedBy: 'storm' }).catch(() => null);
    if (made === null) return;
    pushed.push({ requestId, name: made.group, queue: `rotations-${made.instance}`, requestedAt, jobId: made.jobId });
  }

  /** Pushes with a job id that is used repeatedly. BullMQ drops a job whose id is taken. Then nothing was accepted. */
  async function pushWithOwnId(requestId: string, name: string, queue: string, requestedAt: number): Promise<void> {
    const jobId = `own-${Math.floor(random() * 20)}`;
    const [opened, earlier] = [queues.get(queue), pushed.findLast((one) => one.jobId === jobId && one.queue === queue)];
    if (earlier !== undefined && ended.has(earlier)) await (await opened?.getJob(jobId))?.remove().catch(() => {});
    await opened?.add('rotate', { group: name, requestId, requestedBy: null, reason: null }, { jobId });
    if ((await opened?.getJob(jobId))?.data.requestId !== requestId) return;
    pushed.push({ requestId, name, queue, requestedAt, jobId });
  }

  /** Retries a failed job, as a person would on a dashboard. */
  async function retry(): Promise<void> {
    const failed = [...ended].findLast(([, { state }]) => state === 'failed');
    if (failed === undefined) return;
    const [one] = failed;
    const job = await queues.get(one.queue)?.getJob(one.jobId);
    retries.set(one, (retries.get(one) ?? 0) + 1);
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
      // Occasionally a group that is not in the file.
      const entry = random.pick(random() < 0.05 ? entries : entries.filter(({ present }) => present));
      // Occasionally a burst for one group, as when many people report a leak.
      const burst = random() < 0.1 ? 8 : 1;
      for (let i = 0; i < burst; i++) {
        const name = random() < 0.5 ? entry.group : entry.jid;
        const queue = `rotations-${slots[entry.slot].name}`;
        const byLink = random() < 0.15;
        // A one-off that Redis refuses was not accepted.
        await (byLink ? pushLink(`request-${n}-${i}`, entry.jid, queue) : push(`request-${n}-${i}`, name, queue)).catch(
          () => {},
        );
      }
    }
  }

  async function crowd(): Promise<void> {
    const { entries, slots } = file();
    const ones = entries.map(({ group, slot }, i) => {
      return { requestId: `crowd-${i}`, name: group, queue: `rotations-${slots[slot].name}` };
    });
    await Promise.all(ones.map((one) => pushPlain(one)));
  }

  /** A finished one-off is looked up only once, because an obliterated queue loses it. */
  async function stateOf(one: Pushed): Promise<Omit<SeenRequestJob, 'retries'>> {
    const known = ended.get(one);
    if (known !== undefined) return known;
    const { jobId, ...about } = one;
    const { requestId, queue: queueName } = about;
    const queue = queues.get(queueName);
    const storedState = await queue?.getJobState(jobId);
    const stored = (await queue?.getJob(jobId)) as Job | undefined;
    // The id may have been used again since the queue was emptied.
    const job = stored?.data.requestId === requestId ? stored : undefined;
    const state = job === undefined ? 'unknown' : (storedState ?? 'unknown');
    const { failedReason = null, returnvalue: result = null, finishedOn: endedAt = null } = job ?? {};
    const seen = { ...about, endedAt, state, failedReason, result };
    if (state === 'completed' || state === 'failed') ended.set(one, seen);
    return seen;
  }

  const jobs = () =>
    Promise.all(pushed.map(async (one) => ({ ...(await stateOf(one)), retries: retries.get(one) ?? 0 })));

  return {
    produce,
    stop() {
      producing = false;
    },
    crowd,
    wipe,
    skipJobIds,
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
