/**
 * The whole program on real parts for one test: the stand-in for RyzeAPI, the worker's service, a consumer of its
 * results queue and a raw BullMQ producer. Asserts nothing itself.
 */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type JobsOptions, Queue, QueueEvents, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { type StandIn, type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { formatProblem } from '../../src/config/problems.ts';
import { watchConfig } from '../../src/config/watch.ts';
import { type LinkEvent, linkEvent } from '../../src/contract/event.ts';
import { findGroup } from '../../src/groups/jids.ts';
import type { GroupRecord } from '../../src/groups/record.ts';
import { createGroupStore, type GroupStore } from '../../src/groups/store.ts';
import { createLog } from '../../src/log.ts';
import type { Keys } from '../../src/redis/keys.ts';
import type { RedisClient } from '../../src/redis/scripts.ts';
import { type Service, startService } from '../../src/worker/service.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { type TestRedis, testRedis } from './redis.ts';
import { until } from './until.ts';

export const jids = Array.from({ length: 60 }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);

export interface RigOptions {
  /** YAML below `api` and `redis`: instances, groups and whatever else the test needs. */
  readonly yaml: string;
  readonly standIn?: Partial<StandInOptions>;
  /** Default: TOKEN, good for every instance. */
  readonly env?: Record<string, string>;
  readonly api?: string;
  /** The Redis that the workers connect to, such as a proxy. */
  readonly seenAs?: (redis: Redis, keys: Keys) => RedisClient;
  readonly retry?: string;
}

export interface Rig extends TestRedis {
  readonly standIn: StandIn;
  readonly file: string;
  readonly store: GroupStore;
  /** The record of a group that the worker has registered. */
  record(group: string): Promise<GroupRecord>;
  /** Every line that the worker logged, parsed. */
  readonly logged: { readonly event: string; readonly [field: string]: unknown }[];
  /** In the order in which the consumer got them. */
  readonly events: LinkEvent[];
  eventsOf(group: string): LinkEvent[];
  /** Waits for a group's event, counted from 0. */
  event(group: string, index?: number): Promise<LinkEvent>;
  /** Waits for the event that published the links of these groups for the first time. */
  adopted(...groups: string[]): Promise<void>;
  /** A group's events after that. */
  laterOf(group: string): LinkEvent[];
  /** Waits for one of these, counted from 0. */
  later(group: string, index?: number): Promise<LinkEvent>;
  /** `over`: the worker's connection, if it is to be one of its own. */
  start(over?: TestRedis['redis']): Promise<Service>;
  /** Another worker, with a file of its own. */
  startOther(yaml: string): Promise<{ readonly service: Service; edit(yaml: string): void }>;
  /** Rewrites the file with other YAML below the fixed part. */
  edit(yaml: string): void;
  /** Changes the record of a group that the worker has registered, behind its back. */
  change(group: string, over: Partial<GroupRecord>): Promise<void>;
  /** Makes a group due at that time, as if it had not been rotated since. */
  lapse(group: string, dueAt: number): Promise<void>;
  queue(instance: string): Queue;
  /** A raw producer: pushes a job and waits for its return value. */
  ask(instance: string, data: unknown, name?: string, options?: JobsOptions): Promise<unknown>;
}

export const token = 'test-token-0123456789';

/** Retries are quick. No call times out that is slow only because the machine is busy. */
export async function makeRig(options: RigOptions): Promise<Rig> {
  const base = testRedis();
  const { redis, prefix } = base;
  const standIn = await startStandIn({
    instances: ['bot', 'bot2'],
    tokens: [{ token }],
    groups: jids.slice(0, 10).map((jid) => ({ jid })),
    ...options.standIn,
  });
  const folder = await mkdtemp(join(tmpdir(), 'invite-rotator-rig-'));
  const file = join(folder, 'rotation.yaml');
  const closing: (() => Promise<unknown>)[] = [];
  onTestFinished(async () => {
    for (const close of closing.reverse()) await close();
    await standIn.close();
    await rm(folder, { recursive: true, force: true });
  });

  const text = (yaml: string) => `
api: { baseUrl: "${standIn.url}", ${options.api ?? 'timeout: 5s, settleTime: 6s'} }
redis: { prefix: ${prefix} }
retry: { ${options.retry ?? 'attempts: 4, baseDelay: 20ms, maxDelay: 100ms'} }
${yaml}
ops: off`;
  writeFileSync(file, text(options.yaml));

  const logged: Rig['logged'] = [];
  const logStream = new Writable({
    write(line, _encoding, done) {
      logged.push(JSON.parse(String(line)));
      done();
    },
  });

  const events: LinkEvent[] = [];
  const consumer = new Worker(
    'invite-links',
    // biome-ignore lint/suspicious/useAwait: BullMQ wants a promise.
    async (job) => {
      events.push(linkEvent.parse(job.data));
    },
    { connection: redis, prefix },
  );
  closing.push(() => consumer.close());

  const queues = new Map<string, Queue>();
  function queue(instance: string): Queue {
    let known = queues.get(instance);
    if (known === undefined) {
      known = new Queue(`rotations-${instance}`, { connection: redis, prefix });
      known.setMaxListeners(0);
      queues.set(instance, known);
      const opened = known;
      closing.push(() => opened.close());
    }
    return known;
  }
  const listeners = new Map<string, QueueEvents>();
  async function listener(instance: string): Promise<QueueEvents> {
    let known = listeners.get(instance);
    if (known === undefined) {
      known = new QueueEvents(`rotations-${instance}`, { connection: redis, prefix });
      known.setMaxListeners(0);
      listeners.set(instance, known);
      const opened = known;
      closing.push(() => opened.close());
    }
    await known.waitUntilReady();
    return known;
  }

  const store = createGroupStore(base);
  async function startWith(path: string, over = redis): Promise<Service> {
    const watched = await watchConfig(path);
    if (!watched.ok) throw new Error(watched.problems.map(formatProblem).join('\n'));
    const { watcher } = watched;
    const tokens = createTokens(options.env ?? { TOKEN: token });
    const missing = tokens.load(watcher.current);
    if (missing.length > 0) throw new Error(missing.join('\n'));
    const log = createLog({ level: 'debug', to: logStream });
    const service = await startService({ watcher, tokens, redis: options.seenAs?.(over, base.keys) ?? over, log });
    closing.push(() => service.close());
    return service;
  }

  async function recordIdOf(group: string): Promise<string> {
    const found = await findGroup(store, group);
    if (found === null) throw new Error(`no worker has registered ${group}`);
    return found.recordId;
  }
  const change: Rig['change'] = async (group, over) =>
    await store.update(await recordIdOf(group), (record) => ({ record: { ...record, ...over }, result: undefined }));
  const eventsOf = (group: string) => events.filter((event) => event.group === group);
  const isAdoption = ({ type, reason }: LinkEvent) => type === 'link.changed' && reason === 'adopted';
  const laterOf = (group: string) => eventsOf(group).filter((event) => !isAdoption(event));
  return {
    ...base,
    standIn,
    file,
    logged,
    store,
    events,
    eventsOf,
    event: (group, index = 0) => until(`event ${index} of ${group}`, () => eventsOf(group)[index]),
    async adopted(...groups) {
      for (const group of groups) {
        await until(`${group} to be adopted`, () => eventsOf(group).some(isAdoption));
      }
    },
    laterOf,
    later: (group, index = 0) => until(`later event ${index} of ${group}`, () => laterOf(group)[index]),
    start: (over) => startWith(file, over),
    async startOther(yaml) {
      const other = join(folder, 'other.yaml');
      writeFileSync(other, text(yaml));
      return { service: await startWith(other), edit: (next) => writeFileSync(other, text(next)) };
    },
    record: async (group) => (await store.load(await recordIdOf(group))).record,
    change,
    lapse: (group, dueAt) => change(group, { dueAt }),
    edit(yaml) {
      writeFileSync(file, text(yaml));
    },
    queue,
    ask(instance, data, name = 'rotate', jobOptions = {}) {
      const result = pushAndWait(instance, data, name, jobOptions);
      // A test with several requests awaits the results in turn. A result that fails before its turn must not count as
      // unhandled.
      result.catch(() => {});
      return result;
    },
  };

  async function pushAndWait(instance: string, data: unknown, name: string, jobOptions: JobsOptions): Promise<unknown> {
    const events = await listener(instance);
    const job = await queue(instance).add(name, data, jobOptions);
    return await job.waitUntilFinished(events, 90_000);
  }
}
