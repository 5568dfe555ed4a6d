/** `invite-rotator join`: serves stable addresses until a signal. It needs Redis and the file, and no token. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { ConfigError, formatProblem } from '../config/problems.ts';
import { type ConfigWatcher, watchConfig } from '../config/watch.ts';
import { type Links, rememberLinks } from '../join/links.ts';
import { type JoinServer, startJoinServer } from '../join/server.ts';
import { openSource } from '../join/source.ts';
import type { Logger } from '../log.ts';
import { abortOn, CommandError, type CommonOptions, configFile, stopSignal } from './context.ts';
import { configuredRedis, runningRedis } from './redisTarget.ts';
import { openServiceLog } from './serviceLog.ts';

/** How long the first visitors may wait until every link has been read. */
const readyMs = 3_000;
/** How often the file is looked at for new titles. */
const lookMs = 2_500;

export async function join(options: CommonOptions): Promise<number> {
  const stopped = stopSignal();
  const signal = abortOn(stopped);
  const watched = await watchConfig(configFile(options));
  if (!watched.ok) throw new ConfigError(watched.problems);
  const { watcher } = watched;
  const log = openServiceLog();
  const links = await openLinks(watcher.current, log, signal);
  const server = await serve(watcher, links, log);
  void followFile(watcher, log, signal);

  const name = await stopped;
  log.info({ event: 'stopping', signal: name }, `${name}: answering the requests in progress`);
  await server.close();
  log.info({ event: 'stopped' }, 'stopped');
  return 0;
}

async function openLinks(config: Config, log: Logger, signal: AbortSignal): Promise<Links> {
  const source = await openSource({
    target: runningRedis(config.redis, process.env),
    prefix: config.redis.prefix,
    reread: () => configuredRedis(config.redis, process.env),
    signal,
  });
  const links = rememberLinks({
    source,
    signal,
    onAway: (why, { known }) => {
      const meanwhile = known === 0 ? 'visitors are asked to come back' : `the last known links (${known}) are served`;
      log.error({ event: 'join.from_memory', why, known }, `Redis cannot be read: ${why}; until it can, ${meanwhile}`);
    },
    onBack: () => log.warn({ event: 'join.fresh' }, 'Redis is back: links are read from it again'),
  });
  await Promise.race([links.ready, sleep(readyMs, undefined, { ref: false })]);
  return links;
}

async function serve(watcher: ConfigWatcher, links: Links, log: Logger): Promise<JoinServer> {
  const { join: settings } = watcher.current;
  const server = await startJoinServer({
    ...settings,
    links,
    titleOf: (group) => watcher.current.groupsById.get(group)?.title ?? group,
    onError: (error) => log.error({ event: 'join.error', err: error }, 'a request failed'),
  }).catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(1, `cannot serve the stable addresses: ${listenProblem(settings, error)}`);
  });
  const { url, metricsUrl } = server;
  if (settings.publicUrl === null) {
    log.warn(
      { event: 'join.no_public_url' },
      `join.publicUrl is not set in the file: QR codes and pages lead to ${url}, which other people may not reach`,
    );
  }
  log.info(
    { event: 'join.listening', url, metricsUrl, publicUrl: settings.publicUrl, known: links.state().known },
    `stable addresses at ${url}/join/<group>`,
  );
  return server;
}

function listenProblem({ host, port, metrics }: Config['join'], error: NodeJS.ErrnoException): string {
  const { code, port: failed } = error as { code?: string; port?: number };
  const key = metrics !== null && failed === metrics.port && failed !== port ? 'join.metrics.port' : 'join.port';
  const at = key === 'join.port' ? `${host}:${port}` : `${metrics?.host}:${metrics?.port}`;
  return `${at} ${code === 'EADDRINUSE' ? 'is in use' : `is not available (${code ?? error.message})`}; set ${key} in the file`;
}

/** Titles come from the file as it is now. Other settings take effect at the next start. */
async function followFile(watcher: ConfigWatcher, log: Logger, signal: AbortSignal): Promise<void> {
  let wake = new AbortController();
  let atOnce = false;
  process.on('SIGHUP', () => {
    atOnce = true;
    wake.abort();
  });
  while (!signal.aborted) {
    await sleep(lookMs, undefined, { signal: wake.signal, ref: false }).catch(() => {});
    wake = new AbortController();
    const options = { atOnce };
    atOnce = false;
    const polled = await watcher.poll(options);
    if (polled.status === 'unchanged') continue;
    if (polled.status === 'changed') {
      log.info({ event: 'config.reloaded' }, 'the edited configuration file is in force');
      continue;
    }
    for (const problem of polled.problems) log.error({ event: 'config.broken' }, formatProblem(problem));
    log.error({ event: 'config.kept' }, 'the configuration file is invalid: the last valid one stays in force');
  }
}
