/** What the parts of the worker share: Redis, the configuration in force, clocks, queues and the calls to RyzeAPI. */
import { createBudget } from '../budget/budget.ts';
import { openQueue, openQueues } from '../bullmq/queues.ts';
import type { Config } from '../config/config.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import { noopObserver, type Observer, observeClient } from '../ops/observer.ts';
import { createOutbox } from '../outbox/outbox.ts';
import { createDatabase, type Database } from '../redis/database.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { createRyzeClient } from '../ryze/client.ts';
import { createClocks } from './clocks.ts';
import { createReload } from './reload.ts';
import { reporter } from './tasks.ts';
import type { Tokens } from './tokens.ts';

export interface BaseOptions {
  /** Holds the configuration that was read at startup. */
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  /** Sends commands; workers duplicate it for their blocking reads. The worker does not close it. */
  readonly redis: RedisClient;
  readonly log: Logger;
  readonly random?: () => number;
  readonly observer?: Observer;
}

export type Base = ReturnType<typeof createBase>;

export function createBase(options: BaseOptions) {
  const { redis, log, tokens, watcher, random = Math.random, observer = noopObserver } = options;
  const db = createDatabase(redis, watcher.current.redis.prefix);
  const clocks = createClocks(db, log);
  const reload = createReload({ watcher, tokens, observer, log });

  const reportQueueError = reporter(log, 'queue.error', 'a queue or its worker failed');
  const onQueueError = (source: string, error: Error) => reportQueueError(error, { source });
  const connection = { ...db, clock: clocks };
  const queues = openQueues({ ...connection, queueName: rotationsQueue, onError: onQueueError });
  const plans = openQueue(plannerQueue, { ...connection, onError: (error) => onQueueError(plannerQueue, error) });

  const reportPublishError = reporter(log, 'publish.failed', 'cannot publish events; will retry');
  const outbox = createOutbox({ ...db, onError: (queue, error) => reportPublishError(error, { queue }) });
  return {
    ...{ ...db, log, observer, random, tokens, clocks, reload, onQueueError },
    store: createGroupStore(db),
    /** In force. */
    config: () => reload.inForce,
    /** Of an instance. */
    queueOf: queues.queueOf,
    /** The planner's queue. */
    plans,
    outbox,
    api: createApi({ ...db, log, observer }, watcher.current),
    async closeQueues() {
      await Promise.all([outbox.close(), queues.close(), plans.close()]);
    },
  };
}

/** Calls to RyzeAPI with the settings of the file in force. */
function createApi({ log, observer, ...db }: Database & { log: Logger; observer: Observer }, initial: Config) {
  const open = ({ api, verify }: Config) => ({
    ryze: observeClient(createRyzeClient(api), observer),
    budget: createBudget(db, {
      callTimeoutMs: api.timeoutMs,
      ...(verify !== null && { verifyShare: verify.share }),
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
    /** Changes to other settings. Calls in flight end with the old ones. */
    use(config: Config) {
      void current.ryze.close();
      current = open(config);
    },
    close: () => current.ryze.close(),
  };
}
