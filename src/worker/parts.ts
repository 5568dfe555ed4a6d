/** Creates the parts of the worker and connects them. Nothing runs yet; `service.ts` starts and stops them. */
import { type Budget, createBudget } from '../budget/budget.ts';
import { openQueue, openQueues } from '../bullmq/queues.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { noopObserver, type Observer, observeClient } from '../ops/observer.ts';
import { createOutbox, type Outbox } from '../outbox/outbox.ts';
import { createDatabase, type Database } from '../redis/database.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { createRyzeClient, type RyzeClient } from '../ryze/client.ts';
import { createClocks } from './clocks.ts';
import { createHealth } from './health.ts';
import { createLeftovers } from './leftovers.ts';
import { createPauses } from './pauses.ts';
import { type ProcessDependencies, processJob } from './process.ts';
import { createReconciler } from './reconcile.ts';
import { createRegistration } from './registerGroups.ts';
import { createReload } from './reload.ts';
import { reportRecovered } from './report.ts';
import { reporter } from './tasks.ts';
import { createScheduler, runTick, watchTicks } from './ticks.ts';
import { createLimitReports, type Tokens } from './tokens.ts';
import { createWorkers } from './workers.ts';

export interface PartsOptions {
  /** Has read the configuration to start with. */
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  /** For commands; workers duplicate it for their blocking reads. The service does not close it. */
  readonly redis: RedisClient;
  readonly log: Logger;
  readonly random?: () => number;
  readonly observer?: Observer;
  /** Why Redis cannot be used now; null: it can. */
  readonly redisTrouble?: () => string | null;
}

export type Parts = ReturnType<typeof createParts>;

export function createParts({ redisTrouble = () => null, ...options }: PartsOptions) {
  const shared = createSharedParts(options);
  const { db, clocks, log, reload, queueOf, plans, onQueueError, outbox } = shared;
  const jobs = jobDependencies(shared);
  const workers = createWorkers({
    ...{ ...db, log, clock: clocks, queueOf, plans, onError: onQueueError },
    processJob: (instance, queue, job, lock) => processJob(jobs, queue, instance, job, lock),
    plan: () => runTick({ ...shared, budget: shared.api.budget }),
  });
  const reconciler = createReconciler({ ...shared, resultsQueueOf: outbox.queueOf });
  const health = createHealth({
    ...{ ...db, workers, redisTrouble },
    ticks: shared.ticks,
    isConfigBroken: () => reload.isBroken,
    paused: reconciler.paused,
  });
  return { ...shared, workers, reconciler, health };
}

type SharedParts = ReturnType<typeof createSharedParts>;

/** The parts that jobs and ticks use. */
function createSharedParts(options: Omit<PartsOptions, 'redisTrouble'>) {
  const { redis, log, tokens, watcher, random = Math.random, observer = noopObserver } = options;
  const db = createDatabase(redis, watcher.current.redis.prefix);
  const store = createGroupStore(db);
  const clocks = createClocks(db, log);
  const reload = createReload({ watcher, tokens, observer, log });
  const config = () => reload.inForce;
  const base = { ...db, db, store, log, observer, random, tokens, clocks, reload, config };

  const reportQueueError = reporter(log, 'queue.error', 'a queue or its worker failed');
  const onQueueError = (source: string, error: Error) => reportQueueError(error, { source });
  const connection = { ...db, clock: clocks };
  const queues = openQueues({ ...connection, queueName: rotationsQueue, onError: onQueueError });
  const { queueOf } = queues;
  const plans = openQueue(plannerQueue, { ...connection, onError: (error) => onQueueError(plannerQueue, error) });
  const reportPublishError = reporter(log, 'publish.failed', 'cannot publish events now');
  const outbox = createOutbox({ ...base, onError: (queue, error) => reportPublishError(error, { queue }) });

  const ticks = watchTicks();
  return {
    ...{ ...base, queues, queueOf, plans, onQueueError, outbox, ticks },
    publisher: createPublisher(base, outbox),
    registration: createRegistration(base),
    leftovers: createLeftovers({ ...base, queueOf }),
    pauses: createPauses({ ...base, queueOf }),
    scheduler: createScheduler(plans, ticks, log),
    api: createApi(base, config()),
  };
}

/** What calls to RyzeAPI are made with; depends on the settings of the API in the file. */
export interface Api {
  readonly ryze: RyzeClient;
  readonly budget: Budget;
  /** Changes to these settings; calls in flight end with the old ones. */
  use(config: Config): void;
  close(): Promise<void>;
}

function createApi({ db, log, observer }: { db: Database; log: Logger; observer: Observer }, initial: Config): Api {
  const open = ({ api }: Config) => ({
    ryze: observeClient(createRyzeClient(api), observer),
    budget: createBudget(db, {
      callTimeoutMs: api.timeoutMs,
      onDenied: (instance, why) =>
        log.trace({ event: 'budget.denied', instance, why }, `${instance}: no slot (${why})`),
    }),
  });
  let current = open(initial);
  return {
    get ryze() {
      return current.ryze;
    },
    get budget() {
      return current.budget;
    },
    use(config) {
      void current.ryze.close();
      current = open(config);
    },
    close: () => current.ryze.close(),
  };
}

export interface Publisher {
  /** Publishes what was just committed for these results queues, in the background. */
  publish(queues: readonly string[]): void;
  /** Publishes what is committed and not published yet, such as what a killed worker left. */
  publishAll(): Promise<void>;
  /** Resolves when nothing is being published in the background. */
  drained(): Promise<void>;
}

function createPublisher({ redis, keys }: Database, outbox: Outbox): Publisher {
  const running = new Set<Promise<void>>();
  return {
    publish(queues) {
      const run = outbox.publishAll(queues).finally(() => running.delete(run));
      running.add(run);
    },
    async publishAll() {
      const queues = await redis.smembers(keys.outboxes);
      const waiting = await Promise.all(queues.map((queue) => outbox.waiting(queue)));
      await outbox.publishAll(queues.filter((_, i) => (waiting[i] ?? 0) > 0));
    },
    async drained() {
      await Promise.all(running);
    },
  };
}

function jobDependencies(parts: SharedParts): ProcessDependencies {
  const { db, redis, prefix, store, log, observer, random, tokens, config } = parts;
  const { api, reload, registration, leftovers, pauses, publisher } = parts;
  const instanceOf = (name: string): InstanceConfig | null =>
    config().instances.find((instance) => instance.name === name) ?? null;
  return {
    ...{ ...db, store, log, observer, random },
    get ryze() {
      return api.ryze;
    },
    get budget() {
      return api.budget;
    },
    get retry() {
      return config().retry;
    },
    get settleTimeMs() {
      return config().api.settleTimeMs;
    },
    instanceOwner: leftovers.instanceOwner,
    hasPendingEdit: reload.hasPendingEdit,
    async onUnknown(name) {
      const { groupsById, groupsByJid } = config();
      if (!groupsById.has(name) && !groupsByJid.has(name)) return false;
      await registration.reconcile();
      return true;
    },
    onLost: (recordId) => registration.registerLost([recordId]),
    resultsQueues: () => config().results.queues,
    lastJobOn: async (queue) => ({ queue, lastJob: Number((await redis.get(`${prefix}:${queue}:id`)) ?? 0) }),
    callerOf(name) {
      const instance = instanceOf(name);
      return instance === null ? null : { instance, token: tokens.of(name) };
    },
    refreshToken(name) {
      const instance = instanceOf(name);
      if (instance === null) throw new Error(`instance ${name} is not in the configuration file`);
      return tokens.refresh(instance);
    },
    onGateClosed: pauses.closed,
    onGateExtended: pauses.extended,
    onGateOpened: pauses.opened,
    onLimitSeen: createLimitReports(log),
    onRecovered: (record, work) => reportRecovered({ log, observer }, record, work.kind),
    onCommitted: publisher.publish,
  };
}
