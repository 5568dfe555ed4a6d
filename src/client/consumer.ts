/**
 * For programs that use the links: takes events off a results queue and hands them over, checked and typed. Guarantees,
 * for all processes that consume one queue together and over restarts:
 *
 * - never an older revision of a group after a newer one, and never two of one group at once;
 * - an event that was handled does not come again; one whose handler failed or died does.
 *
 * A handler that fails is called again without end, after a doubling time with a cap, until a newer link of the group was
 * handed over: then the older one is dropped. So no outage of what a handler writes to loses the newest link.
 */
import { DelayedError, type Job, UnrecoverableError } from 'bullmq';
import { type LinkEvent, linkEvent, type NewLinkEvent, type RotationFailedEvent } from '../contract/event.ts';
import { type Connection, openDedicated } from '../redis/connectionOptions.ts';
import { withoutCommand } from '../redis/errors.ts';
import { makeKeys } from '../redis/keys.ts';
import { createBackOff, type RetryOptions } from './backOff.ts';
import { createTurns, handOver, isOutdated, type Place } from './handOver.ts';
import { onceAMinute } from './onceAMinute.ts';
import { startQueueWorker } from './queueWorker.ts';
import { reviveFailed } from './revive.ts';

export interface ConsumeLinksOptions {
  /**
   * A URL, ioredis's options, or a client of yours, which is duplicated and stays open when the consumer is closed. A
   * client must have `maxRetriesPerRequest: null`, and neither `commandTimeout`, `keyPrefix` nor
   * `enableOfflineQueue: false`.
   */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
  /** One of the file's `results.queues`. Default: `invite-links`. */
  readonly queue?: string;
  /** Called with each new link; what it returns is awaited. */
  readonly handler: (event: NewLinkEvent) => Promise<void> | void;
  /** Called when a rotation was given up for now. Default: such events are taken off the queue, and nothing happens. */
  readonly onFailed?: (event: RotationFailedEvent) => Promise<void> | void;
  /** How long an event whose handler failed waits before it is handed over again. */
  readonly retry?: RetryOptions;
  /** Told of events that are none, handlers that failed, and trouble with Redis. Default: standard error. */
  readonly onError?: (error: Error) => void;
  /** Groups handled at the same time. Default: 10. */
  readonly concurrency?: number;
}

export interface LinkConsumer {
  /** Resolves when events are being taken. */
  ready(): Promise<void>;
  /** Takes no more events, and waits for the handlers that run; not for a Redis that is away. */
  close(): Promise<void>;
}

/** Throws a `TypeError` for options that cannot be right. */
export function consumeLinks(options: ConsumeLinksOptions): LinkConsumer {
  const { queue = 'invite-links', prefix = 'bull', concurrency = 10, handler, onFailed } = options;
  const { onError = (error: Error) => console.error(`${queue}: ${error.message}`) } = options;
  const backOff = createBackOff(options.retry);
  const { redis, close } = openDedicated(options.connection);
  const place: Place = { redis, keys: makeKeys(prefix), queue };
  const turns = createTurns();
  const calls = createRunning();
  const report = onceAMinute(onError);

  /** Resolves with 0 when the event is done with, or with the time after which to take it again. */
  async function handle(event: LinkEvent): Promise<number> {
    if (event.type !== 'rotation.failed') {
      return await turns.inTurn(event.group, () => handOver(place, event, () => calls.run(() => handler(event))));
    }
    // One that comes for the first time is news, whatever came since.
    const isOld = backOff.hasFailed(event.id) && (await isOutdated(place, event));
    if (!isOld) await calls.run(() => onFailed?.(event));
    return 0;
  }

  async function take(job: Job, lock: string): Promise<void> {
    const event = read(job, queue);
    let waitMs: number;
    try {
      waitMs = await handle(event);
      if (waitMs === 0) backOff.ended(event.id);
    } catch (error) {
      onError(new Error(`${event.id}: ${withoutCommand(error).message}`));
      waitMs = backOff.failed(event.id);
    }
    if (waitMs === 0) return;
    await job.moveToDelayed(Date.now() + Math.ceil(waitMs), lock);
    throw new DelayedError();
  }

  const worker = startQueueWorker({ queue, redis, prefix, concurrency, take, idle: calls.idle, onError: report });
  const reviving = reviveFailed(queue, redis, prefix);
  return {
    ready: () => worker.ready(),
    async close() {
      reviving.stop();
      await worker.close();
      await close();
    },
  };
}

/** The user's functions that run. */
function createRunning() {
  const running = new Set<Promise<void>>();
  return {
    async run(act: () => Promise<void> | void): Promise<void> {
      const call = (async () => await act())();
      running.add(call);
      try {
        await call;
      } finally {
        running.delete(call);
      }
    },
    async idle(): Promise<void> {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}

function read(job: Job, queue: string): LinkEvent {
  const event = linkEvent.safeParse(job.data);
  if (event.success) return event.data;
  const version: unknown = (job.data as { version?: unknown } | null)?.version;
  const why =
    typeof version === 'number' && version > 1 ? `is of version ${version}: update invite-rotator` : 'is none';
  throw new UnrecoverableError(`job ${job.id} of ${queue} should be an event of version 1, and ${why}`);
}
