/**
 * The worker, whole: wires configuration, registry, planner, the instances' queues and publishing together, takes over
 * an edited file, and stops without leaving anything behind. The only module that knows all the others.
 */
import { type Job, Queue, Worker } from 'bullmq';
import { bucketOf, createBudget } from '../budget/budget.ts';
import { openGate, readGate } from '../budget/gate.ts';
import type { Config, GroupConfig, InstanceConfig } from '../config/config.ts';
import { formatProblem } from '../config/problem.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { syncRegistry } from '../groups/registry.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { tick, tickMs } from '../planner/planner.ts';
import { type Keys, makeKeys, plannerQueue } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import type { LinkEvent } from '../results/event.ts';
import { createOutbox } from '../results/outbox.ts';
import { createRyzeClient } from '../ryze/client.ts';
import { createInstanceWorker, type InstanceWorker, lockOptions } from './instance.ts';
import { type ProcessDependencies, processJob } from './process.ts';
import { placeOf, rulesOf } from './rules.ts';
import type { Tokens } from './tokens.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  /** Commands only; workers duplicate it for their blocking reads. Not closed here. */
  readonly redis: RedisClient;
  readonly log: Logger;
  readonly random?: () => number;
}

export interface Service {
  /** Stops taking jobs, finishes what is in flight, publishes what is committed. */
  close(): Promise<void>;
}

/** Half a tick: an edit is noticed within two ticks, whatever else goes on. */
const reloadEveryMs = tickMs / 2;
/** A tick this late means that BullMQ's scheduler has gone silent. */
const lateTickMs = 3 * tickMs;

export async function startService(options: ServiceOptions): Promise<Service> {
  const { redis, log, tokens, watcher } = options;
  const prefix = options.config.redis.prefix;
  const keys = makeKeys(prefix);
  const store = createGroupStore(redis, keys);
  const instances = new Map<string, InstanceWorker>();
  const publishing = new Set<Promise<void>>();
  let config = options.config;
  let ryze = createRyzeClient(config.api);
  let budget = createBudget(redis, keys, config.api.timeoutMs);

  const outbox = createOutbox({
    redis,
    keys,
    prefix,
    onError: (queue, error) =>
      log.error({ event: 'publish.failed', queue, err: error }, `cannot publish to ${queue} now`),
  });

  const deps: ProcessDependencies = {
    redis,
    keys,
    store,
    log,
    random: options.random ?? Math.random,
    get ryze() {
      return ryze;
    },
    get budget() {
      return budget;
    },
    get retry() {
      return config.retry;
    },
    config: () => config,
    targetOf: (group) => ({
      group,
      instance: instanceOf(config, group.instance),
      token: tokens.of(group.instance),
      rules: rulesOf(config, group),
      place: placeOf(config, group),
    }),
    refreshToken: (name) => tokens.refresh(instanceOf(config, name)),
    onGateClosed: (name, { reason, opensInMs, streak }) =>
      log.error(
        { event: 'gate.closed', instance: name, reason, opensInMs, streak },
        gateMessage(name, reason, opensInMs),
      ),
    onCommitted: (events) => {
      if (events.length > 0) publish(events);
    },
  };

  function publish(_events: readonly LinkEvent[]): void {
    const run = outbox.publishAll(config.results.queues).finally(() => publishing.delete(run));
    publishing.add(run);
  }

  function startInstance({ name, concurrency }: InstanceConfig): void {
    const worker = createInstanceWorker({
      instance: name,
      concurrency,
      connection: redis,
      prefix,
      process: (queue: Queue, job: Job, lock: string) => processJob(deps, queue, name, job, lock),
      onError: (error) => reportWorkerError(log, name, error),
    });
    instances.set(name, worker);
  }

  function queueOf(name: string): Queue {
    const worker = instances.get(name);
    if (worker === undefined) throw new Error(`instance ${name} has no worker`);
    return worker.queue;
  }

  const plans = new Queue(plannerQueue, { connection: redis, prefix });
  plans.on('error', (error) => reportWorkerError(log, plannerQueue, error));

  async function plan(): Promise<void> {
    await outbox.publishAll(config.results.queues);
    const planned = await tick({ redis, keys, store, budget, config, tokenOf: tokens.of, queueOf });
    log.debug({ event: 'plan.tick', ...planned }, 'planned');
  }

  async function takeOver(): Promise<void> {
    const placed = config;
    const changes = await syncRegistry(
      { redis, keys, store, placeOf: (group: GroupConfig) => placeOf(placed, group) },
      placed,
    );
    for (const [group, owner] of changes.doubles) {
      log.error({ event: 'group.double', group, owner }, `${group} is the same WhatsApp group as ${owner}: it rests`);
    }
    const [added, changed, removed] = [changes.added.length, changes.changed.length, changes.removed.length];
    log.info({ event: 'registry.synced', added, changed, removed }, `${placed.groups.length} groups in force`);
  }

  async function reload(): Promise<void> {
    const polled = await watcher.poll();
    if (polled.status === 'unchanged') return;
    if (polled.status === 'broken') {
      for (const problem of polled.problems) log.error({ event: 'config.broken' }, formatProblem(problem));
      log.error({ event: 'config.kept' }, 'the configuration file is broken: the last good one stays in force');
      return;
    }
    const missing = tokens.load(polled.config);
    if (missing.length > 0) {
      for (const problem of missing) log.error({ event: 'config.broken' }, problem);
      log.error({ event: 'config.kept' }, 'tokens are missing: the last good configuration stays in force');
      return;
    }
    await apply(polled.config);
  }

  async function apply(next: Config): Promise<void> {
    const before = config;
    if (JSON.stringify(next.redis) !== JSON.stringify(before.redis)) {
      log.warn({ event: 'config.restart' }, 'redis: a change takes effect at the next start');
    }
    config = { ...next, redis: before.redis };
    if (JSON.stringify(next.api) !== JSON.stringify(before.api)) {
      const old = ryze;
      ryze = createRyzeClient(next.api);
      budget = createBudget(redis, keys, next.api.timeoutMs);
      void old.close();
    }
    for (const instance of next.instances) {
      const running = instances.get(instance.name);
      if (running === undefined) startInstance(instance);
      else {
        running.setConcurrency(instance.concurrency);
        await reopen(redis, keys, instance.name, running);
      }
    }
    await takeOver();
    await rememberBuckets();
    const kept = new Set(next.instances.map(({ name }) => name));
    for (const [name, worker] of instances) {
      if (kept.has(name)) continue;
      instances.delete(name);
      await worker.close();
    }
    log.info({ event: 'config.reloaded' }, 'the edited configuration file is in force');
    await plans.add('plan', {}, { removeOnComplete: true, removeOnFail: true });
  }

  async function schedule(): Promise<void> {
    const finished = { removeOnComplete: true, removeOnFail: { count: 100 } };
    await plans.upsertJobScheduler('plan', { every: tickMs }, { name: 'plan', opts: finished });
    await plans.add('plan', {}, { removeOnComplete: true, removeOnFail: true });
  }

  /** Job schedulers have gone silent in the field: whoever notices puts them right. */
  async function watch(): Promise<void> {
    const last = Number((await redis.get(keys.lastTick)) ?? 0);
    const lateMs = (await redisTime(redis)) - last;
    if (last === 0 || lateMs < lateTickMs) return;
    log.warn({ event: 'plan.late', lateMs }, 'the planner is late: its scheduler is set up again');
    await schedule();
  }

  async function rememberBuckets(): Promise<void> {
    const buckets = config.instances.map(({ name }) => [name, bucketOf(tokens.of(name))] as const);
    await redis.hset(keys.buckets, Object.fromEntries(buckets));
  }

  await takeOver();
  await rememberBuckets();
  for (const instance of config.instances) startInstance(instance);
  const planner = new Worker(plannerQueue, plan, { connection: redis, prefix, concurrency: 1, ...lockOptions });
  planner.on('error', (error) => reportWorkerError(log, plannerQueue, error));
  planner.on('failed', (_job, error) =>
    log.error({ event: 'plan.failed', err: error }, 'a tick of the planner failed'),
  );
  await schedule();
  const timers = [
    every(reloadEveryMs, reload, (error) => log.error({ event: 'config.unread', err: error }, 'cannot reload')),
    every(tickMs, watch, (error) => log.debug({ event: 'plan.unwatched', err: error }, 'cannot watch the planner')),
  ];

  async function close(): Promise<void> {
    for (const timer of timers) await timer.stop();
    await Promise.all([planner.close(), ...[...instances.values()].map((worker) => worker.close())]);
    await Promise.all(publishing);
    await outbox.publishAll(config.results.queues);
    await Promise.all([outbox.close(), plans.close(), ryze.close()]);
  }
  let closed: Promise<void> | null = null;
  return {
    close() {
      closed ??= close();
      return closed;
    },
  };
}

/** A person has put in a new file, perhaps a new token: what the old one was refused for may be over. */
async function reopen(redis: RedisClient, keys: Keys, instance: string, worker: InstanceWorker): Promise<void> {
  const gate = await readGate(redis, keys, instance, await redisTime(redis));
  if (gate === null || gate.reason === 'throttled' || gate.reason === 'instance_disconnected') return;
  await openGate(redis, keys, instance);
  await worker.wake();
}

/** Runs a task again and again, never twice at once. */
function every(ms: number, task: () => Promise<void>, onError: (error: unknown) => void): { stop(): Promise<void> } {
  let running = Promise.resolve();
  let timer: NodeJS.Timeout;
  let stopped = false;
  const run = () => {
    running = task()
      .catch(onError)
      .then(() => {
        if (!stopped) timer = setTimeout(run, ms);
      });
  };
  timer = setTimeout(run, ms);
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

function instanceOf(config: Config, name: string): InstanceConfig {
  const instance = config.instances.find((candidate) => candidate.name === name);
  if (instance === undefined) throw new Error(`instance ${name} is not in the configuration file`);
  return instance;
}

function gateMessage(instance: string, reason: string, opensInMs: number): string {
  return `${instance} is left alone for ${Math.ceil(opensInMs / 1000)} s: ${reason}; its jobs wait`;
}

/** Trouble with the connection is told once, by the client itself. */
function reportWorkerError(log: Logger, source: string, error: Error & { code?: string }): void {
  const connection = error.code?.startsWith('E') === true || error.message.includes('Connection is closed');
  const level = connection ? 'debug' : 'error';
  log[level]({ event: 'queue.error', source, err: error }, `${source}: ${error.message}`);
}
