/** `invite-rotator start`: runs the worker until a signal. */
import { Session } from 'node:inspector/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../abort.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problems.ts';
import { socketAddress } from '../config/redisUrl.ts';
import { type ConfigWatcher, watchConfig } from '../config/watch.ts';
import { dataDir, type EmbeddedOptions, type EmbeddedRedis, startEmbeddedRedis } from '../localRedis/embedded.ts';
import { findMismatch, rememberServedFile } from '../localRedis/servedFile.ts';
import type { Logger } from '../log.ts';
import { createMetrics, type Metrics } from '../ops/metrics.ts';
import { notePages } from '../ops/pagesNote.ts';
import { type OpsServer, startOpsServer } from '../ops/server.ts';
import { connectRedis } from '../redis/connection.ts';
import { createDatabase } from '../redis/database.ts';
import { inspectRedis } from '../redis/inspect.ts';
import { createOutage, type Outage } from '../redis/outage.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { describeTarget, type RedisTarget } from '../redis/target.ts';
import { readProxies } from '../ryze/proxies.ts';
import { readGroup } from '../status/group.ts';
import { createStatusReader } from '../status/status.ts';
import { flushTraces, listenToTraces, type TraceListener } from '../tracing/spans.ts';
import { version } from '../version.ts';
import { type Service, startService } from '../worker/service.ts';
import { createTokens, type Tokens } from '../worker/tokens.ts';
import { abortOn, CommandError, type CommonOptions, configFile, stopSignal } from './context.ts';
import { endSoon } from './output.ts';
import { configuredRedis } from './redisTarget.ts';
import { openServiceLog } from './serviceLog.ts';

export async function start(options: CommonOptions): Promise<number> {
  const stopped = stopSignal();
  const signal = abortOn(stopped);
  try {
    return await run(options, stopped, signal);
  } catch (error) {
    // A signal before "started": there is nothing to finish.
    if (error === signal.reason && signal.aborted) return 0;
    throw error;
  }
}

/** What one run of the worker uses. */
interface Run {
  readonly watcher: ConfigWatcher;
  readonly tokens: Tokens;
  readonly log: Logger;
  readonly stopped: Promise<NodeJS.Signals>;
  /** Aborted at the same time. */
  readonly signal: AbortSignal;
  /** Called at each SIGHUP. */
  readonly reloads: Set<() => void>;
}

async function run(options: CommonOptions, stopped: Run['stopped'], signal: AbortSignal): Promise<number> {
  const watched = await watchConfig(configFile(options));
  if (!watched.ok) throw new ConfigError(watched.problems);
  const { watcher } = watched;
  const tokens = createTokens(process.env);
  const missing = tokens.load(watcher.current);
  if (missing.length > 0) throw new CommandError(2, missing.join('\n'));
  // An invalid one ends the start before anything is opened.
  readProxies(process.env);
  const log = openServiceLog();
  listenToTraces(logTraces(log));
  const reloads = new Set<() => void>();
  process.on('SIGHUP', () => {
    for (const reload of reloads) reload();
  });

  const { target, embedded } = await findRedis(watcher.current, log, signal);
  // However the process ends, its Redis writes its data to disk and ends with it.
  process.on('exit', () => embedded?.endAtOnce());
  try {
    await runOn(target, { watcher, tokens, log, stopped, signal, reloads });
  } finally {
    await embedded?.stop();
  }
  log.info({ event: 'stopped' }, 'stopped');
  return 0;
}

async function runOn(target: RedisTarget, { watcher, log, signal, reloads, ...run }: Run): Promise<void> {
  const outage = createOutage(log);
  // As the file was at the start: a change of its `redis` section needs a restart.
  const servers = watcher.current.redis;
  const reread = () => configuredRedis(servers, process.env);
  const redis = await connectRedis(target, { ...outage, reread, signal });
  try {
    const { problem, warnings } = await unlessAborted(inspectRedis(redis), signal);
    if (problem !== null) throw new CommandError(1, problem);
    for (const warning of warnings) log.warn({ event: 'redis.warning' }, warning);
    await serve(redis, describeTarget(target), outage, { watcher, log, signal, reloads, ...run });
    // Closing the connection is no outage.
    redis.removeAllListeners('close');
  } finally {
    redis.disconnect();
  }
}

async function serve(redis: RedisClient, server: string, outage: Outage, run: Run): Promise<void> {
  const { watcher, tokens, log, stopped, signal, reloads } = run;
  const metrics = createMetrics(version);
  const { observer } = metrics;
  const service = await startService({ watcher, tokens, redis, log, observer, signal, redisTrouble: outage.now });
  reloads.add(service.reload);
  const pages = await openPages(service, metrics, redis, log);
  const removeNote = notePages(service.config.file, pages?.url ?? null);
  const counts = { groups: service.config.groups.length, instances: service.config.instances.length };
  log.info({ event: 'started', ...counts, redis: server }, `running; Redis at ${server}`);
  // If it fails, V8 frees the memory later.
  const collecting = setTimeout(() => collectGarbage().catch(() => {}), collectAfterMs);

  const name = await stopped;
  clearTimeout(collecting);
  log.info({ event: 'stopping', signal: name }, `${name}: finishing the jobs in progress`);
  const timeout = setTimeout(() => {
    log.error(
      { event: 'stopped.late' },
      'shutdownTimeout is over: exiting with unfinished work, which the next start resumes',
    );
    void endSoon(1);
  }, service.config.shutdownTimeoutMs);
  // The pages stay open until the work is done, so that they show that the worker is stopping.
  await Promise.race([service.close(), unfinishable(service, outage)]);
  await Promise.all([pages?.close(), flushTraces()]);
  removeNote();
  clearTimeout(timeout);
}

/** Resolves when no job runs and Redis is not reachable: closing would only wait for Redis, without effect. */
async function unfinishable(service: Service, outage: Outage): Promise<void> {
  while (service.jobsRunning() > 0 || outage.now() === null) await sleep(lookEveryMs, undefined, { ref: false });
}

const lookEveryMs = 200;

/** It takes a tenth of a second, so it waits until the worker is ready. */
const collectAfterMs = 3_000;

/**
 * A third of the memory is garbage of loading the program and its file. V8 frees it after half a minute of idleness,
 * which a busy worker never has. The inspector is the only supported way to ask for it.
 */
async function collectGarbage(): Promise<void> {
  if (!process.features.inspector) return;
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.collectGarbage');
  session.disconnect();
}

/** Work does not depend on the traces either. */
function logTraces(log: Logger): TraceListener {
  return {
    unavailable: (problem) => log.warn({ event: 'traces.unavailable' }, problem),
    failed: (problem) => log.warn({ event: 'traces.failed' }, problem),
    recovered: () => log.info({ event: 'traces.recovered' }, 'the collector takes traces again'),
  };
}

/** Work does not depend on the pages: if they cannot be opened, that is only logged. */
async function openPages(
  service: Service,
  metrics: Metrics,
  redis: RedisClient,
  log: Logger,
): Promise<OpsServer | null> {
  const { ops, redis: settings } = service.config;
  if (ops === null) return null;
  // Of their own, so that a long list delays no rotation. Its errors are those of the other connection, which are logged.
  const { duplicate }: { duplicate(): RedisClient } = redis;
  const own = duplicate.call(redis);
  own.on('error', () => {});
  const db = createDatabase(own, settings.prefix);
  const status = createStatusReader(db, () => service.config);
  const group = (id: string) => readGroup(db, service.config, id);
  const instances = () => service.config.instances.map(({ name }) => name);
  try {
    const parts = { metrics, health: () => service.health(), status, group, instances, log };
    const server = await startOpsServer({ ...ops, ...parts });
    log.info({ event: 'ops.listening', url: server.url }, `status page, health and metrics at ${server.url}`);
    return {
      url: server.url,
      async close() {
        await server.close();
        own.disconnect();
      },
    };
  } catch (error) {
    own.disconnect();
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : `is not available (${code})`;
    log.error(
      { event: 'ops.failed', host: ops.host, port: ops.port },
      `cannot serve the pages: ${ops.host}:${ops.port} ${why}; set ops.port in the file, or "ops: off"`,
    );
    return null;
  }
}

async function findRedis(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<{ target: RedisTarget; embedded: EmbeddedRedis | null }> {
  const named = configuredRedis(config.redis, process.env);
  if (named !== null) return { target: named, embedded: null };
  const say = (line: string) => log.info({ event: 'redis.install' }, line);
  const mismatch = findMismatch(dataDir, config.file);
  if (mismatch !== null) log.warn({ event: 'redis.embedded.mismatch' }, mismatch);
  const embedded = await startEmbeddedRedis({ dataDir, env: process.env, say, signal, ...watchEmbedded(log) });
  rememberServedFile(dataDir, config.file);
  const how = embedded.adopted ? 'the one that a killed worker left is used' : 'one was started';
  const [data, address] = [resolve(dataDir), socketAddress(resolve(embedded.path))];
  log.info(
    { event: 'redis.embedded', pid: embedded.pid, data, address },
    `neither REDIS_URL nor the file names a Redis, so ${how} here: data in ${data}, address ${address}`,
  );
  return { target: { path: embedded.path }, embedded };
}

/**
 * An embedded Redis that dies is restarted with its data. If that fails, this process ends, so that its supervisor sees
 * it.
 */
function watchEmbedded(log: Logger): Pick<EmbeddedOptions, 'onExit' | 'onRestart' | 'onFailure'> {
  return {
    onExit: (pid, lastLog) =>
      log.error(
        { event: 'redis.embedded.died', pid },
        `the embedded Redis has died: ${lastLog}; restarting it with its data`,
      ),
    onRestart: (pid) =>
      log.warn({ event: 'redis.embedded', pid, data: resolve(dataDir) }, 'embedded Redis restarted with its data'),
    onFailure: (error) => {
      log.fatal({ event: 'redis.embedded.failed', err: error }, 'the embedded Redis cannot be restarted: exiting');
      void endSoon(1);
    },
  };
}
