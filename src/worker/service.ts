/**
 * Starts the worker, keeps it running, applies edits of the configuration file, and stops it without leaving work half
 * done.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { unlessAborted } from '../abort.ts';
import { lockOptions } from '../bullmq/options.ts';
import type { Config, InstanceConfig } from '../config/config.ts';
import { beatMs } from '../groups/liveness.ts';
import type { Health } from '../ops/readiness.ts';
import { tickMs } from '../planner/headroom.ts';
import { settle, settleEveryMs } from '../planner/settler.ts';
import { lookEveryMs } from './leftovers.ts';
import { createParts, type Parts, type PartsOptions } from './parts.ts';
import { createRefresh } from './refresh.ts';
import { type Repeated, repeat, reporter } from './tasks.ts';

export interface ServiceOptions extends PartsOptions {
  /** Aborts the start: `startService` rejects with its reason unless workers run already. */
  readonly signal?: AbortSignal;
}

export interface Service {
  /** Reads the file and the tokens again at once. */
  reload(): void;
  /** The configuration in force. */
  readonly config: Config;
  health(): Health;
  /** Rotation jobs that this process runs now. */
  jobsRunning(): number;
  /** Takes no more jobs, finishes those that run, and publishes what is committed. */
  close(): Promise<void>;
}

export async function startService({ signal, ...options }: ServiceOptions): Promise<Service> {
  const parts = createParts(options);
  const { reload, workers, sharing, health, reconciler } = parts;
  health.start();
  try {
    await unlessAborted(prepare(parts), signal);
  } catch (error) {
    void health.stop();
    void reconciler.stop();
    throw error;
  }
  // From here on a job may be in the middle of a reset, so the start can no longer be aborted.
  sharing.start();
  workers.startPlanner();
  const timers = startTimers(parts);
  timers.sharing.now();
  timers.stalled.now();
  timers.agenda.now();

  let closed: Promise<void> | null = null;
  return {
    get config() {
      return reload.inForce;
    },
    health: health.now,
    jobsRunning: workers.jobsRunning,
    reload() {
      reload.request();
      timers.reload.now();
    },
    close() {
      closed ??= stop(parts, Object.values(timers));
      return closed;
    },
  };
}

/** Reconciles Redis with the file before the first job runs. */
async function prepare({ clocks, registration, scheduler, leftovers, reconciler, sharing }: Parts): Promise<void> {
  await clocks.follow();
  await registration.register();
  await scheduler.setUp();
  await leftovers.announce();
  await reconciler.start();
  await sharing.prepare();
}

/** Half a tick: an edit is noticed within two ticks, whatever else runs. */
const reloadEveryMs = tickMs / 2;
const neglectEveryMs = 10_000;

function startTimers(parts: Parts) {
  const { reload, workers, sharing, leftovers, clocks, log } = parts;
  const onSharingError = reporter(log, 'sharing.failed', 'cannot share instances with other workers now; will retry');
  const edits = {
    apply: (next: Config, before: Config) => applyEdit(parts, next, before),
    onTokensRead: () => applyTokens(parts),
  };
  return {
    reload: repeat(
      reloadEveryMs,
      () => reload.look(edits),
      reporter(log, 'config.unread', 'cannot apply the configuration file; will retry'),
    ),
    sharing: repeat(beatMs, sharing.look, onSharingError),
    neglected: repeat(neglectEveryMs, sharing.lookForNeglected, onSharingError),
    stalled: repeat(
      lockOptions.stalledInterval,
      workers.recoverStalled,
      reporter(log, 'stalled.failed', 'cannot look for the jobs of dead workers; will retry'),
    ),
    leftovers: repeat(
      lookEveryMs,
      async () => workers.serveLeftovers(await leftovers.look()),
      reporter(log, 'leftovers.failed', 'cannot check the leftover queues; will retry'),
    ),
    agenda: repeat(
      tickMs,
      createRefresh(parts, workers.serves),
      reporter(log, 'agenda.failed', 'cannot check which instances have something to do; will retry'),
    ),
    clock: repeat(tickMs, clocks.follow, reporter(log, 'clock.unread', "cannot read Redis's clock now")),
    settle: repeat(
      settleEveryMs,
      () => settleAll(parts),
      reporter(log, 'settle.failed', 'cannot look for unsettled attempts; will retry'),
    ),
  };
}

/** Publishes and settles what killed workers and lost answers left. */
async function settleAll(parts: Parts): Promise<void> {
  await publishAll(parts);
  const own = new Set(parts.config().instances.map(({ name }) => name));
  await settle({ ...parts, serves: (instance) => own.has(instance) });
}

/** Publishes every committed event, and waits for those that are being published. */
async function publishAll({ redis, keys, outbox }: Parts): Promise<void> {
  const queues = await redis.smembers(keys.outboxes);
  const waiting = await Promise.all(queues.map((queue) => outbox.waiting(queue)));
  await outbox.publishAll(queues.filter((_, i) => (waiting[i] ?? 0) > 0));
}

/** Changes everything that runs to an edited configuration. May be repeated after a failure. */
async function applyEdit(parts: Parts, next: Config, before: Config): Promise<void> {
  const { api, registration, leftovers, sharing, pauses, scheduler } = parts;
  const callsBy = ({ api: calls, verify }: Config) => [calls, verify?.share];
  if (!isDeepStrictEqual(callsBy(next), callsBy(before))) api.use(next);
  await registration.register();
  await leftovers.announce();
  sharing.apply();
  for (const instance of next.instances) {
    await pauses.reopen(instance.name);
    await promoteDelayed(parts, before, instance);
  }
  // If that instance is paused, its queue holds one-offs that another instance serves from now on.
  for (const name of instancesLeft(before, next)) await parts.queueOf(name).removeRateLimitKey();
  await scheduler.tickNow();
}

/** The instances from which a group has moved to another. */
function instancesLeft(before: Config, { groupsById }: Config): ReadonlySet<string> {
  const moved = before.groups.filter(({ id, instance }) => (groupsById.get(id)?.instance ?? instance) !== instance);
  return new Set(moved.map(({ instance }) => instance));
}

/** Delayed jobs were scheduled under the old limit: they retry under the new one at once. */
async function promoteDelayed({ queueOf }: Parts, before: Config, after: InstanceConfig): Promise<void> {
  const { name, rateLimit, paceMs } = after;
  const old = before.instances.find((instance) => instance.name === name);
  if (old === undefined || (old.paceMs === paceMs && isDeepStrictEqual(old.rateLimit, rateLimit))) return;
  await queueOf(name).promoteJobs();
}

/** A new token may have removed the reason for a pause. */
async function applyTokens({ registration, pauses, config }: Parts): Promise<void> {
  await registration.noteBuckets();
  for (const { name } of config().instances) await pauses.reopen(name);
}

/** Longer than BullMQ takes to close workers without jobs. */
const hungCloseMs = 5_000;
const idleLookMs = 100;

async function stop(parts: Parts, timers: readonly Repeated[]): Promise<void> {
  const { health, reconciler, workers, sharing, registration, api } = parts;
  // Redis may be away, and then the running jobs end first.
  const withdrawn = sharing.withdraw().catch(() => {});
  for (const timer of [health, reconciler, ...timers]) await timer.stop();
  await Promise.race([workers.close(), idle(parts)]);
  await publishAll(parts);
  await withdrawn;
  await registration.close();
  await Promise.all([parts.closeQueues(), api.close()]);
}

/** Resolves after some time without a running job: BullMQ's workers have hung while closing, too. */
async function idle({ workers }: Parts): Promise<void> {
  for (let idleMs = 0; idleMs < hungCloseMs; idleMs += idleLookMs) {
    await sleep(idleLookMs, undefined, { ref: false });
    if (workers.jobsRunning() > 0) idleMs = 0;
  }
}
