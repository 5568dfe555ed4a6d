/**
 * What the commands share: reading the file, connecting to Redis, signals and exit codes. Exit codes: 0 success, 1 failed
 * while running, 2 wrong usage or invalid configuration, 130 and 143 ended by SIGINT or SIGTERM. A command writes its
 * data with `print` (`output.ts`) and returns its exit code; it never calls `process.exit`.
 */

import { hostname, userInfo } from 'node:os';
import type { Config } from '../config/config.ts';
import { durationHint, parseDuration } from '../config/duration.ts';
import { loadConfig, loadRedisConfig } from '../config/load.ts';
import { ConfigError, describeValue } from '../config/problems.ts';
import type { ConfigRules } from '../config/schema.ts';
import type { Database } from '../redis/database.ts';
import { endSoon, ignoreSignals, type StopSignal } from './output.ts';
import { CommandError, type CommonOptions, configFile } from './usage.ts';

export { CommandError, type CommonOptions, configFile };

/** Reads and validates the file. Throws a `ConfigError` that lists every problem. */
export async function readConfig(options: CommonOptions, rules: ConfigRules = {}): Promise<Config> {
  const loaded = await loadConfig(configFile(options), rules);
  if (loaded.ok) return loaded.config;
  throw new ConfigError(loaded.problems);
}

/** Reads only what is needed to find Redis. Throws a `ConfigError`. */
export async function readRedisConfig(options: CommonOptions): Promise<Config['redis']> {
  const loaded = await loadRedisConfig(configFile(options));
  if (loaded.ok) return loaded.config;
  throw new ConfigError(loaded.problems);
}

/** A duration on the command line, in milliseconds. `examples`: as people would write it for this option. */
export function durationOption(option: string, text: string, examples: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms > 0) return ms;
  const hint = ms === null ? durationHint(text) : '';
  throw new CommandError(2, `${option}: ${describeValue(text)} is not a duration such as ${examples}${hint}`);
}

interface RedisUse {
  /** A command that writes rejects a replica. */
  readonly writes?: boolean;
  /** How long Redis may refuse a command before the command fails. */
  readonly refusedForMs?: number;
}

/** Long enough for a failover, short enough for a person at a terminal. */
const commandRefusedForMs = 10_000;

/** Loaded only by commands that reach their use of Redis. */
function redisModules() {
  return Promise.all([
    import('./redisTarget.ts'),
    import('../redis/connection.ts'),
    import('../redis/outage.ts'),
    import('../redis/database.ts'),
    import('../redis/inspect.ts'),
  ]);
}

/** Calls `run` with a connection to the worker's Redis, and closes it afterwards. */
export async function withRedis<T>(
  config: Config['redis'],
  run: (db: Database) => Promise<T>,
  { writes = false, refusedForMs = commandRefusedForMs }: RedisUse = {},
): Promise<T> {
  const [{ runningRedis }, { connectRedis }, { createRefusals }, { createDatabase }, { writeProblem }] =
    await redisModules();
  const refusals = createRefusals((change) => {
    if (change !== null) process.stderr.write(`Redis refuses commands: ${change.why}; waiting\n`);
  });
  const redis = await connectRedis(runningRedis(config, process.env), { refusedForMs, refusals });
  try {
    const replica = writes ? await writeProblem(redis) : null;
    if (replica !== null) throw new CommandError(1, replica);
    return await run(createDatabase(redis, config.prefix));
  } finally {
    redis.disconnect();
  }
}

/**
 * Resolves at the first SIGTERM or SIGINT, which from now on do not end the process. A second one ends it at once, with
 * `secondCode`.
 */
export function stopSignal(secondCode: (signal: StopSignal) => number = () => 1): Promise<StopSignal> {
  return new Promise((done) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) void endSoon(secondCode(signal as StopSignal));
      stopping = true;
      done(signal as StopSignal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    // Last: Node.js drops a signal that came a moment ago when its last listener is removed.
    ignoreSignals();
  });
}

/** The same as an `AbortSignal`. */
export function abortOn(stopped: Promise<NodeJS.Signals>): AbortSignal {
  const controller = new AbortController();
  void stopped.then((signal) => controller.abort(new Error(`stopped by ${signal}`)));
  return controller.signal;
}

/** Who runs the command: the user at the host. With sudo, the user who asked for it. */
export function invoker(): string {
  return `${userName()}@${hostname()}`;
}

/** A container may run as a user that its system does not know. */
function userName(): string {
  const { SUDO_USER = '' } = process.env;
  if (process.getuid?.() === 0 && /^[\w.@-]{1,64}$/.test(SUDO_USER)) return SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
