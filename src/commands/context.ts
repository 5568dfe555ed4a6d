/**
 * What the commands share: reading the file, reaching Redis, and ending with the right exit code and one clear line.
 * Exit codes, as in the contract: 0 done, 1 failed while running, 2 wrong usage or invalid configuration.
 */
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problems.ts';
import { connectRedis } from '../redis/connection.ts';
import { refusalOfReplica } from '../redis/inspect.ts';
import { type Keys, makeKeys } from '../redis/keys.ts';
import { createRefusals } from '../redis/outage.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { runningRedis } from './redisTarget.ts';

/** A failure that is told in words, without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Options that every command takes. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export const defaultConfigFile = 'config/rotation.yaml';

export function configFile(options: CommonOptions): string {
  return resolve(options.config ?? process.env.ROTATOR_CONFIG ?? defaultConfigFile);
}

/** The file, checked; every problem at once where it is not right. */
export async function readConfig(options: CommonOptions): Promise<Config> {
  const loaded = await loadConfig(configFile(options));
  if (loaded.ok) return loaded.config;
  throw new ConfigError(loaded.problems);
}

export interface Connected {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly prefix: string;
}

export interface RedisUse {
  /** It writes to Redis: a replica is refused. */
  readonly writes?: boolean;
  /** How long Redis may refuse a command before that fails. */
  readonly refusedForMs?: number;
}

/** A failover is waited for; whoever sits before a terminal is told of longer trouble. */
const commandRefusedForMs = 10_000;

/** Runs with a connection to the Redis that the worker uses, and closes it whatever happens. */
export async function withRedis<T>(
  config: Config['redis'],
  run: (connected: Connected) => Promise<T>,
  { writes = false, refusedForMs = commandRefusedForMs }: RedisUse = {},
): Promise<T> {
  const refusals = createRefusals((change) => {
    if (change !== null) process.stderr.write(`Redis refuses commands: ${change.why}; waiting\n`);
  });
  const redis = await connectRedis(runningRedis(config, process.env), { refusedForMs, refusals });
  try {
    const replica = writes ? await refusalOfReplica(redis) : null;
    if (replica !== null) throw new CommandError(1, replica);
    return await run({ redis, keys: makeKeys(config.prefix), prefix: config.prefix });
  } finally {
    redis.disconnect();
  }
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((done) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) process.exit(1);
      stopping = true;
      done(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

/** The reason of an abort by SIGTERM or SIGINT. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** The same as an `AbortSignal`, for work that is to be given up. */
export function abortOn(stopped: Promise<NodeJS.Signals>): AbortSignal {
  const controller = new AbortController();
  void stopped.then((signal) => controller.abort(new StoppedError(signal)));
  return controller.signal;
}
