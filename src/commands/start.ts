/** `invite-rotator start`: runs the worker until a signal. */
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../abort.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problems.ts';
import { watchConfig } from '../config/watch.ts';
import { dataDir, type EmbeddedOptions, type EmbeddedRedis, startEmbeddedRedis } from '../localRedis/embedded.ts';
import { createLog, createLogStream, type Logger, logLevels } from '../log.ts';
import { createMetrics, type Metrics } from '../ops/metrics.ts';
import { type OpsServer, startOpsServer } from '../ops/server.ts';
import { connectRedis, createLogins } from '../redis/connection.ts';
import { createDatabase } from '../redis/database.ts';
import { inspectRedis } from '../redis/inspect.ts';
import { createOutage, type Outage } from '../redis/outage.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { describeTarget, type RedisTarget } from '../redis/target.ts';
import { readStatus } from '../status/status.ts';
import { version } from '../version.ts';
import { type Service, startService } from '../worker/service.ts';
import { createTokens } from '../worker/tokens.ts';
import { abortOn, CommandError, type CommonOptions, configFile, stopSignal } from './context.ts';
import { configuredRedis } from './redisTarget.ts';

export async function start(options: CommonOptions): Promise<number> {
  const stopped = stopSignal();
  const signal = abortOn(stopped);
  try {
    return await runUntil(stopped, signal, options);
  } catch (error) {
    // A signal before "started": nothing was begun that would have to be finished.
    if (error === signal.reason && signal.aborted) return 0;
    throw error;
  }
}

async function runUntil(
  stopped: Promise<NodeJS.Signals>,
  signal: AbortSignal,
  options: CommonOptions,
): Promise<number> {
  const watched = await watchConfig(configFile(options));
  if (!watched.ok) throw new ConfigError(watched.problems);
  const { watcher } = watched;
  const config = watcher.current;
  const tokens = createTokens(process.env);
  const missing = tokens.load(config);
  if (missing.length > 0) throw new CommandError(2, missing.join('\n'));
  const log = createLog({ level: logLevel(), to: createLogStream(process.stdout, linesLost) });
  let reload = () => {};
  process.on('SIGHUP', () => reload());

  const { target, embedded } = await findRedis(config, log, signal);
  // However the process ends: its Redis does not outlive it, and writes what it has to disk first.
  process.on('exit', () => embedded?.endAtOnce());
  try {
    const outage = createOutage(log);
    const logins = createLogins(target, () => configuredRedis(config.redis, process.env));
    reload = logins.reread;
    const redis = await connectRedis(target, { ...outage, logins, signal });
    try {
      const { problem, warnings } = await unlessAborted(inspectRedis(redis), signal);
      if (problem !== null) throw new CommandError(1, problem);
      for (const warning of warnings) log.warn({ event: 'redis.warning' }, warning);

      const metrics = createMetrics(version);
      const { observer } = metrics;
      const service = await startService({ watcher, tokens, redis, log, observer, signal, redisTrouble: outage.now });
      reload = () => {
        logins.reread();
        service.reload();
      };
      const ops = await showPages(service, metrics, redis, log);
      const { groups, instances } = config;
      const counts = { groups: groups.length, instances: instances.length };
      log.info(
        { event: 'started', ...counts, redis: describeTarget(target) },
        `running; Redis at ${describeTarget(target)}`,
      );
      // Where it is not possible, the memory is tidied up later.
      const tidying = setTimeout(() => collectGarbage().catch(() => {}), tidyAfterMs);

      const name = await stopped;
      clearTimeout(tidying);
      log.info({ event: 'stopping', signal: name }, `${name}: finishing what is in flight`);
      const patience = setTimeout(() => {
        log.error(
          { event: 'stopped.late' },
          'not finished in time: ending now; what is left is taken up at the next start',
        );
        process.exit(1);
      }, service.config.shutdownTimeoutMs);
      // Pages stay until the work is done: whoever looks sees that it is stopping.
      await Promise.race([service.close(), nothingToWaitFor(service, outage)]);
      await ops?.close();
      clearTimeout(patience);
      redis.removeAllListeners('close');
    } finally {
      redis.disconnect();
    }
  } finally {
    await embedded?.stop();
  }
  log.info({ event: 'stopped' }, 'stopped');
  return 0;
}

/** Resolves when Redis is away and no job is worked on: then closing would only wait for Redis, and for nothing. */
async function nothingToWaitFor(service: Service, outage: Outage): Promise<void> {
  while (service.jobsRunning() > 0 || outage.now() === null) await sleep(lookEveryMs, undefined, { ref: false });
}

const lookEveryMs = 200;

/** It takes a tenth of a second: not before the worker is ready. */
const tidyAfterMs = 3_000;

/**
 * A third of the memory is what loading the program and its file left behind, and V8 keeps that until nothing has
 * happened for half a minute: to a busy worker, never. By the inspector, since Node.js offers no other supported way.
 */
async function collectGarbage(): Promise<void> {
  if (!process.features.inspector) return;
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.collectGarbage');
  session.disconnect();
}

/** Work does not depend on them: where their address is taken, they are missing, and it is said so. */
async function showPages(
  service: Service,
  metrics: Metrics,
  redis: RedisClient,
  log: Logger,
): Promise<OpsServer | null> {
  const { ops, redis: settings } = service.config;
  if (ops === null) return null;
  const db = createDatabase(redis, settings.prefix);
  const status = () => readStatus(db, service.config);
  try {
    const server = await startOpsServer({ ...ops, metrics, health: () => service.health(), status, log });
    log.info({ event: 'ops.listening', url: server.url }, `status page, health and metrics at ${server.url}`);
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    log.error(
      { event: 'ops.failed', host: ops.host, port: ops.port },
      `no pages: ${ops.host}:${ops.port} ${why}; set ops.port in the file, or "ops: off"`,
    );
    return null;
  }
}

/** In the place of log lines that could not be written. */
function linesLost(lines: number): string {
  const line = { level: 40, time: new Date().toISOString(), event: 'log.lost', lines };
  return `${JSON.stringify({ ...line, msg: `${lines} lines of this log could not be written` })}\n`;
}

async function findRedis(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<{ target: RedisTarget; embedded: EmbeddedRedis | null }> {
  const named = configuredRedis(config.redis, process.env);
  if (named !== null) return { target: named, embedded: null };
  const say = (line: string) => log.info({ event: 'redis.install' }, line);
  const embedded = await startEmbeddedRedis({ dataDir, env: process.env, say, signal, ...watchEmbedded(log) });
  const how = embedded.adopted ? 'taken over from a worker that was killed' : 'started';
  log.info(
    { event: 'redis.embedded', pid: embedded.pid, data: dataDir },
    `embedded Redis ${how}; its data is in ./${dataDir}`,
  );
  return { target: { path: embedded.path }, embedded };
}

/** It is started again with its data. Where that fails, whoever supervises this process sees it end. */
function watchEmbedded(log: Logger): Pick<EmbeddedOptions, 'onExit' | 'onRestart' | 'onFailure'> {
  return {
    onExit: (pid, lastLog) =>
      log.error(
        { event: 'redis.embedded.died', pid },
        `the embedded Redis has ended without being told to: ${lastLog}; it is started again with its data`,
      ),
    onRestart: (pid) =>
      log.warn({ event: 'redis.embedded', pid, data: dataDir }, 'embedded Redis started again with its data'),
    onFailure: (error) => {
      log.fatal({ event: 'redis.embedded.failed', err: error }, 'the embedded Redis cannot be started again: ending');
      process.exit(1);
    },
  };
}

function logLevel(): string {
  const level = process.env.LOG_LEVEL || 'info';
  if (logLevels.includes(level)) return level;
  throw new CommandError(2, `LOG_LEVEL: "${level}" is none of ${logLevels.join(', ')}`);
}
