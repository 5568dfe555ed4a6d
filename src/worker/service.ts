/**
 * The worker, whole: wires configuration, registry, planner, the instances' queues and publishing together, takes over
 * an edited file, and stops without leaving anything behind. The only module that knows all the others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { unlessAborted } from '../abort.ts';
import { type Budget, createBudget } from '../budget/budget.ts';
import { readGate } from '../budget/gate.ts';
import { isRunnable } from '../bullmq/counts.ts';
import { openQueue, openWorker } from '../bullmq/queues.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { noopObserver, type Observer, observeClient } from '../ops/observer.ts';
import type { Health } from '../ops/readiness.ts';
import { createOutbox } from '../outbox/outbox.ts';
import { promoteWaiting, tickMs } from '../planner/headroom.ts';
import { tick } from '../planner/planner.ts';
import { settle, settleEveryMs } from '../planner/settler.ts';
import { makeKeys } from '../redis/keys.ts';
import { type RedisClient, redisTime } from '../redis/scripts.ts';
import { createRyzeClient } from '../ryze/client.ts';
import { followClock } from './clock.ts';
import { createQueueErrors, levelOf, reporter } from './errorReports.ts';
import { watchHealth } from './health.ts';
import { createLeftovers, lookEveryMs } from './leftovers.ts';
import { createLimitReports } from './limitReports.ts';
import { createPauses } from './pauses.ts';
import { type ProcessDependencies, processJob, waitsForSlot } from './process.ts';
import { createInstances, type Instances } from './queues.ts';
import { type Reconciling, startReconciling } from './reconcile.ts';
import { createRegistering } from './registering.ts';
import { createReloading } from './reloading.ts';
import { repeat } from './repeat.ts';
import { reportRecovered } from './report.ts';
import { createScheduler } from './scheduler.ts';
import { watchTicks } from './ticks.ts';
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
/** Longer than BullMQ takes to close workers without jobs. */
const hungCloseMs = 5_000;
const idleLookMs = 100;

export async function startService(options: ServiceOptions): Promise<Service> {
  const { redis, log, tokens, watcher, observer = noopObserver } = options;
  const { prefix } = watcher.current.redis;
  const keys = makeKeys(prefix);
  const store = createGroupStore(redis, keys);
  const clock = followClock(redis, keys, log);
  await clock.follow();
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

  const pauses = createPauses({ redis, keys, log, queueOf: (name) => instances.queueOf(name) });

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
    instanceOwner: (instance) => leftovers.instanceOwner(instance),
    async hasPendingEdit() {
      const isPending = await reloading.hasPendingEdit();
      if (isPending) reloads.now();
      return isPending;
    },
    async onUnknown(name) {
      const { groupsById, groupsByJid } = reloading.inForce;
      if (!groupsById.has(name) && !groupsByJid.has(name)) return false;
      await registering.reconcile(reloading.inForce);
      return true;
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
    onGateClosed: pauses.closed,
    onGateExtended: pauses.extended,
    onGateOpened: pauses.opened,
    onLimitSeen: createLimitReports(log),
    onRecovered: (record, work) => reportRecovered({ log, observer }, record, work.kind),
    onCommitted: publish,
  };

  function publish(queues: readonly string[]): void {
    const run = outbox.publishAll(queues).finally(() => publishing.delete(run));
    publishing.add(run);
  }

  const reportQueueError = createQueueErrors(log);
  const instances = createInstances({
    connection: redis,
    prefix,
    clock,
    process: (name, queue, job, lock) => processJob(deps, queue, name, job, lock),
    onError: (name, error) => reportQueueError(name, error),
  });

  const leftovers = createLeftovers({ redis, keys, store, log, instances, inForce: () => reloading.inForce });

  const onPlannerError = (error: Error) => reportQueueError(plannerQueue, error);
  const plans = openQueue(plannerQueue, { redis, prefix, clock, onError: onPlannerError });
  const ticks = watchTicks();
  const scheduler = createScheduler(plans, ticks, log);

  async function plan(): Promise<void> {
    const config = reloading.inForce;
    const shared = { redis, keys, budget, config, tokenOf: tokens.of, queueOf: instances.queueOf };
    const planned = await tick({ ...shared, store });
    ticks.ticked();
    const { unreadable, lost, ...counts } = planned;
    registering.reportUnreadable(
      unreadable.map(({ recordId, reason }) => ({ group: config.groupsByJid.get(recordId)?.id ?? recordId, reason })),
    );
    if (lost.length > 0) await registering.registerLost(config, lost);
    const called = await promoteWaiting(shared, waitsForSlot);
    log.debug({ event: 'plan.tick', ...counts, called }, 'planned');
  }

  /** What a publisher left that was killed. */
  async function publishLeftovers(): Promise<void> {
    const queues = await redis.smembers(keys.outboxes);
    const waiting = await Promise.all(queues.map((queue) => outbox.waiting(queue)));
    await outbox.publishAll(queues.filter((_, i) => (waiting[i] ?? 0) > 0));
  }

  async function settleLeftovers(): Promise<void> {
    await publishLeftovers();
    const { instances: served } = reloading.inForce;
    const serves = (name: string) => served.some((one) => one.name === name);
    await settle({ redis, keys, store, serves, queueOf: instances.queueOf });
  }

  /** A token file may have changed although the configuration did not. */
  async function rereadTokens(): Promise<void> {
    const { inForce } = reloading;
    for (const problem of tokens.load(inForce)) log.error({ event: 'config.broken' }, problem);
    await registering.noteBuckets(inForce);
    for (const { name } of inForce.instances) await pauses.reopen(name);
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
    await leftovers.announce();
    await instances.reconcile(next.instances);
    for (const instance of next.instances) {
      await pauses.reopen(instance.name);
      await recall(before, instance, instances);
    }
    await scheduler.tickNow();
  }

  let reconciling: Reconciling | null = null;
  const paused = () => reconciling?.paused ?? [];
  const stopReconciling = async () => await reconciling?.stop();

  /** Instances with jobs that wait though their gate is open, their queue not paused, and nothing else holds it up. */
  async function waiting(): Promise<string[]> {
    const nowMs = await redisTime(redis, keys);
    const held = await Promise.all(
      reloading.inForce.instances.map(async ({ name }) => {
        if (paused().includes(rotationsQueue(name))) return [];
        if (!(await isRunnable(redis, instances.queueOf(name), nowMs))) return [];
        return (await readGate(redis, keys, name, nowMs)) === null ? [name] : [];
      }),
    );
    return held.flat();
  }

  const { redisTrouble = () => null, signal } = options;
  const health = watchHealth({
    ...{ redis, keys, waiting, ticks, log, paused, redisTrouble },
    recreate: instances.recreate,
    configBroken: () => reloading.broken,
  });

  async function prepare(): Promise<void> {
    await registering.register(reloading.inForce);
    await scheduler.setUp();
    await leftovers.announce();
    reconciling = await startReconciling({
      ...{ redis, keys, store, log, registering, scheduler },
      config: () => reloading.inForce,
      queueOf: instances.queueOf,
      resultsQueueOf: outbox.queueOf,
      followClock: clock.follow,
      onError: reporter(log, 'reconcile.failed', 'cannot compare what Redis holds with what it should hold now'),
    });
  }
  // Once a worker runs, it may be in the middle of a reset: then it is closed in good order.
  try {
    await unlessAborted(prepare(), signal);
  } catch (error) {
    void health.stop();
    void stopReconciling();
    throw error;
  }
  await instances.reconcile(reloading.inForce.instances);
  const planner = openWorker(plannerQueue, plan, { redis, prefix, clock, concurrency: 1 });
  planner.on('error', onPlannerError);
  planner.on('failed', (_job, error) =>
    log.error({ event: 'plan.failed', err: error }, 'a tick of the planner failed'),
  );
  let tokensToo = false;
  const reloads = repeat(
    reloadEveryMs,
    async () => {
      const asked = tokensToo;
      tokensToo = false;
      try {
        if (asked) await rereadTokens();
        await reloading.look(asked);
      } catch (error) {
        // Asked again meanwhile, or not done yet.
        tokensToo ||= asked;
        throw error;
      }
    },
    reporter(log, 'config.unread', 'cannot apply the configuration file now'),
  );
  const timers = [
    reloads,
    repeat(lookEveryMs, leftovers.look, reporter(log, 'leftovers.failed', 'cannot look at the leftover queues now')),
    repeat(tickMs, clock.follow, reporter(log, 'clock.unread', "cannot read Redis's clock now")),
    repeat(settleEveryMs, settleLeftovers, reporter(log, 'settle.failed', 'cannot look for what is unsettled now')),
  ];

  /** BullMQ's workers have hung at their end, too: who has no job in hand for so long is not waited for. */
  async function idleForLong(): Promise<void> {
    for (let idleMs = 0; idleMs < hungCloseMs; idleMs += idleLookMs) {
      await sleep(idleLookMs, undefined, { ref: false });
      if (instances.jobsInHand() > 0) idleMs = 0;
    }
  }

  async function close(): Promise<void> {
    for (const timer of [health, reconciling, ...timers]) await timer?.stop();
    await Promise.race([Promise.all([planner.close(), instances.close()]), idleForLong()]);
    await Promise.all(publishing);
    await publishLeftovers();
    await registering.close();
    await Promise.all([outbox.close(), plans.close(), ryze.close()]);
  }
  let closed: Promise<void> | null = null;
  return {
    get config() {
      return reloading.inForce;
    },
    health: () => health.now(),
    jobsInHand: instances.jobsInHand,
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
