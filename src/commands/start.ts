/** `invite-rotator start`: runs the worker until a signal. */
import type { Config } from '../config/config.ts';
import { createConfigWatcher } from '../config/watch.ts';
import { createLog, type Logger, logLevels } from '../log.ts';
import {
  connectRedis,
  dataDir,
  describeTarget,
  inspectRedis,
  namedRedis,
  type RedisTarget,
} from '../redis/connection.ts';
import { type EmbeddedRedis, startEmbeddedRedis } from '../redis/embedded.ts';
import { startService } from '../worker/service.ts';
import { createTokens } from '../worker/tokens.ts';
import { CommandError, type CommonOptions, readConfig, stopSignal } from './context.ts';

export async function start(options: CommonOptions): Promise<number> {
  const config = await readConfig(options);
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

      const service = await startService({ config, watcher: createConfigWatcher(config), tokens, redis, log });
      reload = () => service.reload();
      const { groups, instances } = config;
      const counts = { groups: groups.length, instances: instances.length };
      log.info(
        { event: 'started', ...counts, redis: describeTarget(target) },
        `running; Redis at ${describeTarget(target)}`,
      );

      const signal = await stopped;
      log.info({ event: 'stopping', signal }, `${signal}: finishing what is in flight`);
      const patience = setTimeout(() => {
        log.error(
          { event: 'stopped.late' },
          'not finished in time: ending now; what is left is taken up at the next start',
        );
        process.exit(1);
      }, config.shutdownTimeoutMs);
      await service.close();
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
