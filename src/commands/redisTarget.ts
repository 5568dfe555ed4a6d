/** Which Redis a command uses: REDIS_URL, then the file's servers, then the embedded Redis that runs here. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { RedisConfig, RedisLogin, RedisServers, SecretSource } from '../config/config.ts';
import { parseRedisUrl } from '../config/redisUrl.ts';
import { readSecret } from '../config/secrets.ts';
import { dataDir, embeddedSocket, isEmbeddedRunning } from '../localRedis/embedded.ts';
import { RedisSettingsError, RedisStartError } from '../redis/errors.ts';
import type { Login, RedisTarget, ServerTarget } from '../redis/target.ts';

/**
 * The Redis that the environment or the file names, or null if neither does. REDIS_URL takes precedence over every
 * server in the file. Passwords are read from where the file says. Throws a `RedisSettingsError`.
 */
export function configuredRedis({ servers }: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget | null {
  const named = redisUrlOf(env);
  if (named !== null) return parseAddress(named.text, named.source);
  return servers === null ? null : withPasswords(servers, env);
}

/** For every command but `start`: the configured Redis, or the embedded one of a `start` that runs in this folder. */
export function runningRedis(config: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget {
  const configured = configuredRedis(config, env);
  if (configured !== null) return configured;
  if (isEmbeddedRunning(dataDir)) return { path: embeddedSocket(dataDir) };
  throw new RedisStartError(
    `no Redis: start the worker here first (invite-rotator start), or set REDIS_URL; no embedded Redis runs in ${resolve(dataDir)}`,
  );
}

interface Named {
  readonly text: string;
  /** For messages. */
  readonly source: string;
}

/** The address in REDIS_URL, or in the file that REDIS_URL_FILE names; null if neither is set. */
export function redisUrlOf(env: NodeJS.ProcessEnv): Named | null {
  const { REDIS_URL: text, REDIS_URL_FILE: path } = env;
  if (path === undefined) return text === undefined ? null : { text, source: 'REDIS_URL' };
  if (text !== undefined) throw new RedisSettingsError('REDIS_URL and REDIS_URL_FILE are both set: remove one');
  const source = `${path} (REDIS_URL_FILE)`;
  if (path.trim() === '') throw new RedisSettingsError('REDIS_URL_FILE is empty: remove it, or set it to a path');
  try {
    return { text: readFileSync(path, 'utf8'), source };
  } catch (error) {
    throw new RedisSettingsError(`cannot read ${source}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}

function parseAddress(text: string, source: string): ServerTarget {
  const parsed = parseRedisUrl(text);
  if (!parsed.ok) throw new RedisSettingsError(`${source} ${parsed.message}`);
  const { address } = parsed;
  const isPlainSocket = 'path' in address && address.db === null && address.password === undefined;
  return isPlainSocket
    ? { path: address.path }
    : { url: text.trim().replace(/^rediss?/i, (scheme) => scheme.toLowerCase()) };
}

function withPasswords(servers: RedisServers, env: NodeJS.ProcessEnv): RedisTarget {
  if (servers.kind === 'single') {
    return { ...parseAddress(servers.url, 'redis.url'), ...secret('password', servers.password, env) };
  }
  const login = readLogin(servers.login, env);
  if (servers.kind === 'cluster') return { cluster: servers.nodes, login };
  const { sentinels, name, sentinelPassword } = servers;
  return { sentinels, name, ...secret('sentinelPassword', sentinelPassword, env), login };
}

function readLogin({ username, password, tls }: RedisLogin, env: NodeJS.ProcessEnv): Login {
  return { ...(username === undefined ? {} : { username }), ...secret('password', password, env), tls };
}

/** The secret under `key`, or no key if there is no source. */
function secret<K extends string>(key: K, source: SecretSource | null, env: NodeJS.ProcessEnv): { [P in K]?: string } {
  if (source === null) return {};
  const result = readSecret(source, env);
  if (!result.ok) throw new RedisSettingsError(`redis: ${result.message}`);
  return { [key]: result.secret } as { [P in K]?: string };
}
