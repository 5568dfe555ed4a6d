/** Which Redis a command uses: REDIS_URL, then the file's servers, then the embedded Redis that runs here. */
import type { RedisConfig, RedisLogin, RedisServers, SecretSource } from '../config/config.ts';
import { readSecret } from '../config/secrets.ts';
import { dataDir, embeddedSocket, isEmbeddedRunning } from '../localRedis/embedded.ts';
import { RedisStartError } from '../redis/errors.ts';
import type { Login, RedisTarget } from '../redis/target.ts';

/**
 * The Redis that the environment or the file names, or null if neither does. REDIS_URL takes precedence over every
 * server in the file. Passwords are read from where the file says. Throws a `RedisStartError`.
 */
export function configuredRedis({ servers }: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget | null {
  if (env.REDIS_URL) return parseAddress(env.REDIS_URL, 'REDIS_URL');
  return servers === null ? null : withPasswords(servers, env);
}

/** For every command but `start`: the configured Redis, or the embedded one of a `start` that runs in this folder. */
export function runningRedis(config: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget {
  const configured = configuredRedis(config, env);
  if (configured !== null) return configured;
  if (isEmbeddedRunning(dataDir)) return { path: embeddedSocket(dataDir) };
  throw new RedisStartError('no Redis: start the worker here first (invite-rotator start), or set REDIS_URL');
}

function parseAddress(text: string, source: string): { readonly url: string } | { readonly path: string } {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) };
  // The parsed URL has its scheme in lower case: ioredis would take REDISS:// for a connection without TLS.
  if (url?.host && (url.protocol === 'redis:' || url.protocol === 'rediss:')) return { url: url.href };
  throw new RedisStartError(
    `${source} is not an address such as redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket`,
  );
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
  if (!result.ok) throw new RedisStartError(`redis: ${result.message}`);
  return { [key]: result.secret } as { [P in K]?: string };
}
