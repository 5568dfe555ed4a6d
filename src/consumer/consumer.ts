/**
 * For programs that use the links: takes events off a results queue and hands them over, checked and typed. Guarantees,
 * for all processes that consume one queue together and over restarts:
 *
 * - never an older revision of a group after a newer one, and never two of one group at once;
 * - an event that was handled does not come again; one whose handler failed or died does.
 *
 * A handler that fails is called again by BullMQ's rules (the events say ten times, with a doubling back-off); if a
 * newer link comes meanwhile, the older one is dropped.
 */
import { randomUUID } from 'node:crypto';
import { DelayedError, type Job, UnrecoverableError, Worker } from 'bullmq';
import { type Connection, openConnection } from '../redis/given.ts';
import { type Keys, makeKeys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import { type LinkEvent, linkEvent, type NewLinkEvent, type RotationFailedEvent } from '../results/event.ts';
import { lockOptions } from '../worker/instance.ts';

const claimLua = loadScript('claim', import.meta.url);
const finishLua = loadScript('finish', import.meta.url);

export interface ConsumeLinksOptions {
  /** A URL, ioredis's options, or a client of yours, which stays open when the consumer is closed. */
  readonly connection: Connection;
  /** BullMQ's prefix, as in the worker's file. Default: `bull`. */
  readonly prefix?: string;
  /** One of the file's `results.queues`. Default: `invite-links`. */
  readonly queue?: string;
  /** Called with each new link; what it returns is awaited. */
  readonly handler: (event: NewLinkEvent) => Promise<void> | void;
  /** Called when a rotation was given up for now. Default: such events are taken off the queue, and nothing happens. */
  readonly onFailed?: (event: RotationFailedEvent) => Promise<void> | void;
  /** Told of events that are none, handlers that failed, and trouble with Redis. Default: standard error. */
  readonly onError?: (error: Error) => void;
  /** Groups handled at the same time. Default: 10. */
  readonly concurrency?: number;
}

export interface LinkConsumer {
  /** Resolves when events are being taken. */
  ready(): Promise<void>;
  /** Takes no more events, and waits for the handlers that run. */
  close(): Promise<void>;
}

/** A handler that is not heard of for so long has died; another process may handle its group. */
const leaseMs = 10_000;
const renewEveryMs = 3_000;
/** How long to wait before looking again at a group that another process handles. */
const busyPollMs = 250;

export function consumeLinks(options: ConsumeLinksOptions): LinkConsumer {
  const { queue = 'invite-links', prefix = 'bull', concurrency = 10, handler, onFailed } = options;
  const { onError = (error: Error) => console.error(`${queue}: ${error.message}`) } = options;
  const { redis, close } = openConnection(options.connection);
  const place: Place = { redis, keys: makeKeys(prefix), queue };
  const turns = createTurns();

  async function take(job: Job, lock = ''): Promise<void> {
    const event = read(job, queue);
    if (event.type === 'rotation.failed') {
      await onFailed?.(event);
      return;
    }
    const waitMs = await turns.inTurn(event.group, () => handOver(place, event, handler));
    if (waitMs === 0) return;
    await job.moveToDelayed(Date.now() + waitMs, lock);
    throw new DelayedError();
  }

  const worker = new Worker(queue, take, { connection: redis, prefix, concurrency, ...lockOptions });
  worker.on('error', onError);
  worker.on('failed', (job, error) => onError(new Error(`${job?.id ?? 'an event'}: ${error.message}`)));
  return {
    async ready() {
      await worker.waitUntilReady();
    },
    async close() {
      await worker.close();
      await close();
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

interface Place {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly queue: string;
}

/** Hands the event over if that is right; returns 0, or after how many milliseconds to look again. */
async function handOver(
  { redis, keys, queue }: Place,
  event: NewLinkEvent,
  handler: ConsumeLinksOptions['handler'],
): Promise<number> {
  const { group, revision } = event;
  const pair = [keys.marks(queue), keys.handling(queue, group)];
  const id = randomUUID();
  const claim = async () => Number(await runScript(redis, claimLua, pair, [group, revision, id, leaseMs]));
  const verdict = await claim();
  if (verdict !== 0) return Math.min(Math.max(verdict, 0), busyPollMs);
  // A lease that cannot be renewed now is renewed as soon as Redis is back.
  const renewal = setInterval(() => void claim().catch(() => {}), renewEveryMs);
  let handled = false;
  try {
    await handler(event);
    handled = true;
  } finally {
    clearInterval(renewal);
    await runScript(redis, finishLua, pair, [group, revision, id, handled ? 1 : 0]);
  }
  return 0;
}

/** Lets what concerns one group be done one after the other, in the order in which it was asked. */
function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return {
    async inTurn<T>(group: string, act: () => Promise<T>): Promise<T> {
      const before = last.get(group) ?? Promise.resolve();
      const mine = before.then(act, act);
      const settled = mine.catch(() => {});
      last.set(group, settled);
      try {
        return await mine;
      } finally {
        if (last.get(group) === settled) last.delete(group);
      }
    },
  };
}
