/**
 * The library's consumer: takes events off a results queue and calls a handler with each new link, validated and typed.
 * `delivery.ts` has the order in which it does so.
 *
 * A handler that fails is called again indefinitely, with a doubling delay, until a newer link of the group is
 * delivered; then the older event is dropped. So the newest link survives any outage of the system that the handler
 * writes to.
 */
import { DelayedError, type Job, UnrecoverableError } from 'bullmq';
import { type LinkEvent, linkEvent, type NewLinkEvent, type RotationFailedEvent } from '../contract/event.ts';
import { type Connection, openDedicated } from '../redis/connectionOptions.ts';
import { createDatabase } from '../redis/database.ts';
import { withoutCommand } from '../redis/errors.ts';
import { flushTraces, inSpan } from '../tracing/spans.ts';
import { createBackOff, type RetryOptions } from './backOff.ts';
import { createDelivery } from './delivery.ts';
import { retryFailedEvents, startEventWorker } from './eventWorker.ts';

export interface ConsumeLinksOptions {
  /**
   * A URL, ioredis's options, or an ioredis client, which is duplicated and stays open when the consumer is closed. A
   * client must have `maxRetriesPerRequest: null`, and neither `commandTimeout`, `keyPrefix` nor
   * `enableOfflineQueue: false`.
   */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
  /** One of the file's `results.queues`. Default: `invite-links`. */
  readonly queue?: string;
  /** Called with each new link; its promise is awaited. */
  readonly handler: (event: NewLinkEvent) => Promise<void> | void;
  /** Called when a rotation failed. Default: such events are ignored. */
  readonly onFailed?: (event: RotationFailedEvent) => Promise<void> | void;
  /** How long an event waits after its handler failed. */
  readonly retry?: RetryOptions;
  /** Called with invalid events, failures of the handler and Redis errors. Default: logs to standard error. */
  readonly onError?: (error: Error) => void;
  /** The number of groups handled at the same time. Default: 10. */
  readonly concurrency?: number;
}

export interface LinkConsumer {
  /** Resolves when events are being taken. */
  ready(): Promise<void>;
  /** Stops taking events and waits for running handlers, but not for an unreachable Redis. */
  close(): Promise<void>;
}

/** Throws a `TypeError` for invalid options. */
export function consumeLinks(options: ConsumeLinksOptions): LinkConsumer {
  const { queue = 'invite-links', prefix = 'bull', concurrency = 10, handler, onFailed } = options;
  const { onError = (error: Error) => console.error(`${queue}: ${error.message}`) } = options;
  const backOff = createBackOff(options.retry);
  const { redis, close } = openDedicated(options.connection);
  const db = createDatabase(redis, prefix);
  const delivery = createDelivery(db, queue);
  const running = new Set<Promise<void>>();

  async function call(
    { type, group, instance, revision, reason }: LinkEvent,
    userFunction: () => Promise<void> | void,
  ): Promise<void> {
    const attributes = { event: type, group, instance, revision, reason };
    const run = inSpan(`handle ${type}`, { attributes }, async () => await userFunction());
    running.add(run);
    await run.finally(() => running.delete(run));
  }

  async function idle(): Promise<void> {
    while (running.size > 0) await Promise.allSettled(running);
  }

  /** Resolves with 0 when the event is finished, or with the delay after which to take it again. */
  async function handle(event: LinkEvent): Promise<number> {
    if (event.type !== 'rotation.failed') return await delivery.deliver(event, () => call(event, () => handler(event)));
    // At its first delivery a failure is reported even if a newer link exists.
    const isDropped = backOff.hasFailed(event.id) && (await delivery.isOutdated(event));
    if (!isDropped) await call(event, () => onFailed?.(event));
    return 0;
  }

  async function take(job: Job, lock: string): Promise<void> {
    const event = parseEvent(job, queue);
    let delayMs: number;
    try {
      delayMs = await handle(event);
      if (delayMs === 0) backOff.ended(event.id);
    } catch (error) {
      onError(new Error(`${event.id}: ${withoutCommand(error).message}`));
      delayMs = backOff.failed(event.id);
    }
    if (delayMs === 0) return;
    await job.moveToDelayed(Date.now() + Math.ceil(delayMs), lock);
    throw new DelayedError();
  }

  const worker = startEventWorker(db, { queue, concurrency, take, idle, onError });
  const retrying = retryFailedEvents(db, queue);
  return {
    ready: worker.ready,
    async close() {
      retrying.stop();
      await worker.close();
      await Promise.all([close(), flushTraces()]);
    },
  };
}

function parseEvent(job: Job, queue: string): LinkEvent {
  const event = linkEvent.safeParse(job.data);
  if (event.success) return event.data;
  const version: unknown = (job.data as { version?: unknown } | null)?.version;
  const reason =
    typeof version === 'number' && version > 1
      ? `it has version ${version}: update invite-rotator`
      : 'its data does not match the schema';
  throw new UnrecoverableError(`job ${job.id} of ${queue} is not an event of version 1: ${reason}`);
}
