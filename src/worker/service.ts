/**
 * The worker, whole: wires configuration, registry, planner, the instances' queues and publishing together, takes over
 * an edited file, and stops without leaving anything behind. The only module that knows all the others.
 */
import { isDeepStrictEqual } from 'node:util';
import { Queue } from 'bullmq';
import { unlessAborted } from '../abort.ts';
import { type Budget, createBudget } from '../budget/budget.ts';
import { openGate, readGate } from '../budget/gate.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import { lookUp } from '../config/lookup.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { observeClient } from '../ops/observeClient.ts';
import { nobody, type Observer } from '../ops/observer.ts';
import type { Health } from '../ops/readiness.ts';
import { tick, tickMs } from '../planner/planner.ts';
import { settle, settleEveryMs } from '../planner/settler.ts';
import { countJobs } from '../queues/counts.ts';
import { makeKeys, plannerQueue } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { isOfConnection } from '../redis/trouble.ts';
import { createOutbox } from '../results/outbox.ts';
import { createRyzeClient } from '../ryze/client.ts';
import { CalmWorker } from './calmWorker.ts';
import { watchHealth } from './health.ts';
import { lockOptions } from './instance.ts';
import { createInstances, type Instances } from './instances.ts';
import { createLimitReports } from './limitReports.ts';
import { type ProcessDependencies, processJob } from './process.ts';
import { createQueueErrors } from './queueErrors.ts';
import { createRegistering } from './registering.ts';
import { createReloading } from './reloading.ts';
import { repeat } from './repeat.ts';
import type { Tokens } from './tokens.ts';

export interface ServiceOptions {
  /** Has read the configuration to start with. */
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  /** Commands only; workers duplicate it for their blocking reads. Not closed here. */
  readonly redis: RedisClient;
  readonly log: Logger;
  readonly random?: () => number;
  readonly observer?: Observer;
  /** Gives up starting: rejects with its reason while no worker runs yet. */
  readonly signal?: AbortSignal;
  /** Why Redis cannot be worked with now; null: it can. */
  readonly redisTrouble?: () => string | null;
}

export interface Service {
  /** Reads the file and the tokens again, at once. */
  reload(): void;
  /** The configuration in force. */
  readonly config: Config;
  health(): Health;
  /** Jobs that this process works on. */
  jobsInHand(): number;
  /** Stops taking jobs, finishes what is in flight, publishes what is committed. */
  close(): Promise<void>;
}

/** Half a tick: an edit is noticed within two ticks, whatever else goes on. */
const reloadEveryMs = tickMs / 2;
/** A tick this late means that BullMQ's scheduler has gone silent. */
const lateTickMs = 3 * tickMs;

export async function startService(options: ServiceOptions): Promise<Service> {
  const { redis, log, tokens, watcher, observer = nobody } = options;
  const { prefix } = watcher.current.redis;
  const keys = makeKeys(prefix);
  const store = createGroupStore(redis, keys);
  const publishing = new Set<Promise<void>>();
  const registering = createRegistering({ redis, keys, store, tokens, log });
  const reloading = createReloading({ watcher, tokens, observer, log, apply });
  let ryze = observeClient(createRyzeClient(watcher.current.api), observer);
  let budget = makeBudget(watcher.current);

  function makeBudget({ api }: Config): Budget {
    return createBudget(redis, keys, {
      callTimeoutMs: api.timeoutMs,
      onDenied: (instance, why) =>
        log.trace({ event: 'budget.denied', instance, why }, `${instance}: no slot (${why})`),
    });
  }

  const outbox = createOutbox({
    redis,
    keys,
    prefix,
    onError: (queue, error) =>
      log[levelOf(error)]({ event: 'publish.failed', queue, err: error }, `cannot publish to ${queue} now`),
  });

  const deps: ProcessDependencies = {
    redis,
    keys,
    store,
    log,
    observer,
    onTaken: (instance) => health.took(instance),
    random: options.random ?? Math.random,
    get ryze() {
      return ryze;
    },
    get budget() {
      return budget;
    },
    get retry() {
      return reloading.inForce.retry;
    },
    get settleTimeMs() {
      return reloading.inForce.api.settleTimeMs;
    },
    onLost: (recordId) => registering.registerLost(reloading.inForce, [recordId]),
    resultsQueues: () => reloading.inForce.results.queues,
    async lastJobOn(queue) {
      const count = await redis.get(`${prefix}:${queue}:id`);
      return { queue, lastJob: Number(count ?? 0) };
    },
    callerOf: (name) => {
      const instance = reloading.inForce.instances.find((one) => one.name === name);
      return instance === undefined ? null : { instance, token: tokens.of(name) };
    },
    refreshToken: (name) => tokens.refresh(instanceOf(reloading.inForce, name)),
    onGateClosed: (name, { reason, opensInMs, streak }) =>
      log.error(
        { event: 'gate.closed', instance: name, reason, opensInMs, streak },
        gateMessage(name, reason, opensInMs),
      ),
    onGateOpened,
    onLimitSeen: createLimitReports(log),
    onCommitted: publish,
  };

  function onGateOpened(instance: string, reason: string): void {
    log.info({ event: 'gate.opened', instance, reason }, `${instance} works again (it was left alone: ${reason})`);
  }

  /** A person has put in a new file, perhaps a new token: what the old one was refused for may be over. */
  async function reopen(instance: string): Promise<void> {
    const gate = await readGate(redis, keys, instance, await redisTime(redis, keys));
    if (gate === null || gate.reason === 'throttled' || gate.reason === 'instance_disconnected') return;
    const opened = await openGate(redis, keys, instance);
    if (opened !== null) onGateOpened(instance, opened);
    await instances.queueOf(instance).removeRateLimitKey();
  }

  function publish(queues: readonly string[]): void {
    const run = outbox.publishAll(queues).finally(() => publishing.delete(run));
    publishing.add(run);
  }

  const reportQueueError = createQueueErrors(log);
  let jobsInHand = 0;
  const instances = createInstances({
    connection: redis,
    prefix,
    async process(name, queue, job, hold) {
      jobsInHand += 1;
      try {
        return await processJob(deps, queue, name, job, hold);
      } finally {
        jobsInHand -= 1;
      }
    },
    onError: (name, error) => reportQueueError(name, error),
  });

  const plans = new Queue(plannerQueue, { connection: redis, prefix });
  plans.on('error', (error) => reportQueueError(plannerQueue, error));

  async function plan(): Promise<void> {
    const config = reloading.inForce;
    await outbox.publishAll(await redis.smembers(keys.outboxes));
    const planned = await tick({ redis, keys, store, budget, config, tokenOf: tokens.of, queueOf: instances.queueOf });
    health.ticked();
    const { unreadable, lost, ...counts } = planned;
    log.debug({ event: 'plan.tick', ...counts }, 'planned');
    const { byJid } = lookUp(config);
    registering.reportUnreadable(
      unreadable.map(({ recordId, reason }) => ({ group: byJid.get(recordId)?.id ?? recordId, reason })),
    );
    if (lost.length > 0) await registering.registerLost(config, lost);
  }

  async function settleLeftovers(): Promise<void> {
    const { instances: served } = reloading.inForce;
    const queueOf = (name: string) => (served.some((one) => one.name === name) ? instances.queueOf(name) : null);
    await settle({ redis, keys, store, queueOf });
  }

  /** A token file may have changed although the configuration did not. */
  async function rereadTokens(): Promise<void> {
    const { inForce } = reloading;
    for (const problem of tokens.load(inForce)) log.error({ event: 'config.broken' }, problem);
    await registering.noteBuckets(inForce);
    for (const { name } of inForce.instances) await reopen(name);
    log.info({ event: 'config.reread' }, 'the configuration file and the tokens are read again');
  }

  async function apply(next: Config, before: Config): Promise<void> {
    if (!isDeepStrictEqual(next.api, before.api)) {
      const old = ryze;
      ryze = observeClient(createRyzeClient(next.api), observer);
      budget = makeBudget(next);
      void old.close();
    }
    await registering.register(next);
    await instances.bringInLine(next.instances);
    for (const instance of next.instances) {
      await reopen(instance.name);
      await recall(before, instance, instances);
    }
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
    const lateMs = (await redisTime(redis, keys)) - last;
    if (last === 0 || lateMs < lateTickMs) return;
    log.warn({ event: 'plan.late', lateMs }, 'the planner is late: its scheduler is set up again');
    await schedule();
  }

  /** Instances with jobs that wait though their gate is open and their token has slots left. */
  async function waiting(): Promise<string[]> {
    const nowMs = await redisTime(redis, keys);
    const held = await Promise.all(
      reloading.inForce.instances.map(async ({ name }) => {
        if ((await countJobs(instances.queueOf(name))).waiting === 0) return [];
        return (await readGate(redis, keys, name, nowMs)) === null ? [name] : [];
      }),
    );
    return held.flat();
  }
  const { redisTrouble = () => null, signal } = options;
  const health = watchHealth({ redis, keys, waiting, configBroken: () => reloading.broken, redisTrouble });

  // Once a worker runs, it may be in the middle of a reset: then it is closed in good order.
  try {
    await unlessAborted(registering.register(reloading.inForce).then(schedule), signal);
  } catch (error) {
    void health.stop();
    throw error;
  }
  await instances.bringInLine(reloading.inForce.instances);
  const planner = new CalmWorker(plannerQueue, plan, { connection: redis, prefix, concurrency: 1, ...lockOptions });
  planner.on('error', (error) => reportQueueError(plannerQueue, error));
  planner.on('failed', (_job, error) =>
    log.error({ event: 'plan.failed', err: error }, 'a tick of the planner failed'),
  );
  let tokensToo = false;
  const reloads = repeat(
    reloadEveryMs,
    async () => {
      const asked = tokensToo;
      if (asked) await rereadTokens();
      tokensToo = false;
      await reloading.look(asked);
    },
    (error) => log.error({ event: 'config.unread', err: error }, 'cannot reload'),
  );
  const timers = [
    reloads,
    repeat(tickMs, watch, (error) => log.debug({ event: 'plan.unwatched', err: error }, 'cannot watch the planner')),
    repeat(settleEveryMs, settleLeftovers, reporter(log, 'settle.failed', 'cannot look for what is unsettled now')),
    repeat(
      tickMs,
      () => registering.reconcile(reloading.inForce),
      reporter(log, 'registry.failed', 'cannot compare the registration now'),
    ),
  ];

  async function close(): Promise<void> {
    for (const timer of [health, ...timers]) await timer.stop();
    await Promise.all([planner.close(), instances.close()]);
    await Promise.all(publishing);
    await outbox.publishAll(await redis.smembers(keys.outboxes));
    await registering.close();
    await Promise.all([outbox.close(), plans.close(), ryze.close()]);
  }
  let closed: Promise<void> | null = null;
  return {
    get config() {
      return reloading.inForce;
    },
    health: () => health.now(),
    jobsInHand: () => jobsInHand,
    reload() {
      tokensToo = true;
      reloads.now();
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}

/** What waits was told when to come under another limit: it asks anew. */
async function recall(
  before: Config,
  { name, rateLimit, paceMs }: InstanceConfig,
  instances: Instances,
): Promise<void> {
  const old = before.instances.find((instance) => instance.name === name);
  if (old === undefined || (old.paceMs === paceMs && isDeepStrictEqual(old.rateLimit, rateLimit))) return;
  await instances.queueOf(name).promoteJobs();
}

function instanceOf(config: Config, name: string): InstanceConfig {
  const instance = config.instances.find((candidate) => candidate.name === name);
  if (instance === undefined) throw new Error(`instance ${name} is not in the configuration file`);
  return instance;
}

function gateMessage(instance: string, reason: string, opensInMs: number): string {
  return `${instance} is left alone for ${Math.ceil(opensInMs / 1000)} s: ${reason}; its jobs wait`;
}

/** For a task on a timer: the same error again and again is one line. */
function reporter(log: Logger, event: string, message: string): (error: unknown) => void {
  let last = '';
  return (error) => {
    const text = error instanceof Error ? error.message : String(error);
    const level = text === last || !(error instanceof Error) ? 'debug' : levelOf(error);
    last = text;
    log[level]({ event, err: error }, message);
  };
}

/** Trouble with the connection is told once, by the client itself. */
function levelOf(error: Error): 'debug' | 'error' {
  return isOfConnection(error) ? 'debug' : 'error';
}
