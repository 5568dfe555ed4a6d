/** `invite-rotator start`: runs the worker until a signal. */
import { Session } from 'node:inspector/promises';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problem.ts';
import { watchConfig } from '../config/watch.ts';
import { createLog, type Logger, logLevels } from '../log.ts';
import { createMetrics, type Metrics } from '../ops/metrics.ts';
import { type OpsServer, startOpsServer } from '../ops/server.ts';
import { connectRedis } from '../redis/connection.ts';
import { type EmbeddedRedis, startEmbeddedRedis } from '../redis/embedded.ts';
import { inspectRedis } from '../redis/inspect.ts';
import { makeKeys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { dataDir, describeTarget, namedRedis, type RedisTarget } from '../redis/target.ts';
import { readStatus } from '../status/status.ts';
import { version } from '../version.ts';
import { type Service, startService } from '../worker/service.ts';
import { createTokens } from '../worker/tokens.ts';
import { CommandError, type CommonOptions, configFile, stopSignal } from './context.ts';

export async function start(options: CommonOptions): Promise<number> {
  const watched = await watchConfig(configFile(options));
  if (!watched.ok) throw new ConfigError(watched.problems);
  const { watcher } = watched;
  const config = watcher.current;
  const tokens = createTokens(process.env);
  const missing = tokens.load(config);
  if (missing.length > 0) throw new CommandError(2, missing.join('\n'));
  const log = createLog({ level: logLevel(), to: process.stdout });
  const stopped = stopSignal();
  let reload = () => {};
  process.on('SIGHUP', () => reload());

  const { target, embedded } = await findRedis(config, log);
  try {
    const redis = await connectRedis(target, {
      onChange: (up, why) =>
        up
          ? log.warn({ event: 'redis.back' }, 'Redis is back')
          : log.error({ event: 'redis.lost', why }, `Redis is not reachable: ${why}; work goes on when it is back`),
    });
    try {
      const { refusal, warnings } = await inspectRedis(redis);
      if (refusal !== null) throw new CommandError(1, refusal);
      for (const warning of warnings) log.warn({ event: 'redis.warning' }, warning);

      const metrics = createMetrics(version);
      const { observer } = metrics;
      const service = await startService({ watcher, tokens, redis, log, observer });
      reload = () => service.reload();
      const ops = await showPages(service, metrics, redis, log);
      const { groups, instances } = config;
      const counts = { groups: groups.length, instances: instances.length };
      log.info(
        { event: 'started', ...counts, redis: describeTarget(target) },
        `running; Redis at ${describeTarget(target)}`,
      );
      // Where it is not possible, the memory is tidied up later.
      const tidying = setTimeout(() => collectGarbage().catch(() => {}), tidyAfterMs);

      const signal = await stopped;
      clearTimeout(tidying);
      log.info({ event: 'stopping', signal }, `${signal}: finishing what is in flight`);
      const patience = setTimeout(() => {
        log.error(
          { event: 'stopped.late' },
          'not finished in time: ending now; what is left is taken up at the next start',
        );
        process.exit(1);
      }, service.config.shutdownTimeoutMs);
      // Pages stay until the work is done: whoever looks sees that it is stopping.
      await service.close();
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
  const keys = makeKeys(settings.prefix);
  const status = () => readStatus(redis, keys, service.config);
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

async function findRedis(
  config: Config,
  log: Logger,
): Promise<{ target: RedisTarget; embedded: EmbeddedRedis | null }> {
  const named = namedRedis(config.redis, process.env);
  if (named !== null) return { target: named, embedded: null };
  const say = (line: string) => log.info({ event: 'redis.install' }, line);
  const embedded = await startEmbeddedRedis({ dataDir, env: process.env, say });
  const how = embedded.adopted ? 'taken over from a worker that was killed' : 'started';
  log.info(
    { event: 'redis.embedded', pid: embedded.pid, data: dataDir },
    `embedded Redis ${how}; its data is in ./${dataDir}`,
  );
  return { target: { path: embedded.path }, embedded };
}

function logLevel(): string {
  const level = process.env.LOG_LEVEL || 'info';
  if (logLevels.includes(level)) return level;
  throw new CommandError(2, `LOG_LEVEL: "${level}" is none of ${logLevels.join(', ')}`);
}
